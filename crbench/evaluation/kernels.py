"""The counter for CUDA: kernels that count a tile of scores while it is in the cache, launched by CuPy.

Arrays are torch tensors, shared by DLPack; all memory comes from torch's pool, and kernels run on torch's stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Protocol

import torch

from crbench.evaluation.counters import Bounds, Candidates, Doubts, Tile, totals

THREADS = 256
"""Per block; a power of two."""

_PARTS = 8
"""Parts of a tile, each of which may be in doubt as a whole."""

SOURCE = r"""
typedef long long i64;

/* Of rising bounds between first and last, the end of those that a score is ahead of; ties count if `equal`. */
__device__ i64 passed(float score, const float *bounds, i64 first, i64 last, bool equal)
{
    while (first < last) {
        const i64 middle = (first + last) / 2;
        if (score > bounds[middle] || (equal && score == bounds[middle]))
            first = middle + 1;
        else
            last = middle;
    }
    return first;
}

/* One block per query. doubts: i64[4, capacity], filled: i64[1], how many there are. */
extern "C" __global__ void count(
    i64 items, const float *products, const float *rows, const float *factors, const float *terms,
    const i64 *query_pids, const i64 *item_pids, const i64 *first, const float *low, const float *high,
    int *leaps, i64 width, const i64 *columns, i64 capacity, i64 *doubts, unsigned long long *filled)
{
    __shared__ int tally[512];
    const i64 query = blockIdx.x, begin = first[query], end = first[query + 1];
    const bool shared = width == 1 && end - begin <= 512;
    if (begin == end)
        return;
    for (i64 place = threadIdx.x; shared && place < end - begin; place += blockDim.x)
        tally[place] = 0;
    __syncthreads();
    const float farthest = low[begin];
    for (i64 item = threadIdx.x; item < items; item += blockDim.x) {
        const float score = products[query * items + item] * (rows[query] * factors[item]) + terms[item];
        if (!(score >= farthest) || item_pids[item] == query_pids[query])
            continue;
        const i64 surely = passed(score, high, begin, end, false);
        const i64 possibly = passed(score, low, surely, end, true);
        if (surely > begin && shared)
            atomicAdd(tally + (surely - 1 - begin), 1);
        else if (surely > begin)
            atomicAdd(leaps + (surely - 1) * width + columns[item], 1);
        if (possibly > surely) {
            const i64 place = (i64)atomicAdd(filled, 1ULL);
            doubts[place] = query;
            doubts[capacity + place] = item;
            doubts[2 * capacity + place] = surely;
            doubts[3 * capacity + place] = possibly;
        }
    }
    __syncthreads();
    for (i64 place = threadIdx.x; shared && place < end - begin; place += blockDim.x)
        leaps[begin + place] += tally[place];
}

/* One block per pair, in a loop; found[pair] is the inner product of a row of a and a row of b. */
extern "C" __global__ void dots(
    i64 pairs, const float *a, i64 a_pitch, const float *b, i64 b_pitch, const i64 *rows, const i64 *items,
    i64 columns, double *found)
{
    __shared__ double sums[256];
    for (i64 pair = blockIdx.x; pair < pairs; pair += gridDim.x) {
        const float *x = a + rows[pair] * a_pitch, *y = b + items[pair] * b_pitch;
        double sum = 0;
        for (i64 column = threadIdx.x; column < columns; column += blockDim.x)
            sum += (double)x[column] * (double)y[column];
        sums[threadIdx.x] = sum;
        __syncthreads();
        for (int half = blockDim.x / 2; half > 0; half /= 2) {
            if (threadIdx.x < half)
                sums[threadIdx.x] += sums[threadIdx.x + half];
            __syncthreads();
        }
        if (threadIdx.x == 0)
            found[pair] = sums[0];
        __syncthreads();
    }
}
"""


class Launch(Protocol):
    """Runs a kernel of `SOURCE` on a grid of so many blocks; arguments are tensors and 64-bit integers."""

    def __call__(self, name: str, blocks: int, arguments: Sequence[torch.Tensor | int]) -> None: ...


class KernelCounter:
    """Counts with the kernels of `SOURCE`.

    Memory beside the tile: 32 bytes per score of a part of it, for what is in doubt.
    """

    def __init__(self, launch: Launch) -> None:
        self._launch = launch

    def count(self, tile: Tile, bounds: Bounds, candidates: Candidates) -> Iterator[Doubts]:
        """See `crbench.evaluation.counters.Counter`; one block per query, and as many doubts as a part has scores."""
        queries, items = tile.products.shape
        device = tile.products.device
        pids = torch.empty_like(tile.pids)
        pids[tile.by_pid] = tile.pids
        shared = _checked([tile.factors, tile.terms + candidates.mask], torch.float32)
        _checked([tile.products, tile.rows, bounds.low, bounds.high], torch.float32)
        _checked([tile.query_pids, pids, bounds.first, candidates.columns], torch.int64)
        _checked([bounds.leaps], torch.int32)
        step = max(1, queries // _PARTS)
        capacity = step * items
        doubts = torch.empty(4, capacity, dtype=torch.int64, device=device)
        for start in range(0, queries, step):
            some = slice(start, min(start + step, queries))
            filled = torch.zeros(1, dtype=torch.int64, device=device)
            arguments: list[torch.Tensor | int] = [
                items,
                tile.products[some],
                tile.rows[some],
                *shared,
                tile.query_pids[some],
                pids,
            ]
            arguments += [bounds.first[start:], bounds.low, bounds.high, bounds.leaps, bounds.width]
            self._launch("count", some.stop - start, [*arguments, candidates.columns, capacity, doubts, filled])
            found = doubts[:, : int(filled)]
            yield Doubts(rows=found[0] + start, items=found[1], first=found[2], last=found[3])

    def dots(
        self, a: torch.Tensor, b: torch.Tensor, rows: torch.Tensor, items: torch.Tensor, columns: int
    ) -> torch.Tensor:
        """See `crbench.evaluation.counters.Counter`; one block per pair."""
        _checked([a, b], torch.float32)
        _checked([rows, items], torch.int64)
        found = torch.empty(len(rows), dtype=torch.float64, device=a.device)
        if len(rows):
            blocks = min(len(rows), 1 << 20)
            self._launch("dots", blocks, [len(rows), a, a.shape[1], b, b.shape[1], rows, items, columns, found])
        return found

    def totals(self, leaps: torch.Tensor, first: torch.Tensor, owners: torch.Tensor) -> torch.Tensor:
        """See `crbench.evaluation.counters.Counter`."""
        return totals(leaps, first, owners)


def _checked(arrays: list[torch.Tensor], dtype: torch.dtype) -> list[torch.Tensor]:
    """The arrays, if kernels can read them."""
    for array in arrays:
        if array.dtype != dtype or not array.is_contiguous():
            raise TypeError(
                f"a kernel was given {array.dtype} of strides {array.stride()}; expected contiguous {dtype}"
            )
    return arrays


def launch_by_cupy(name: str, blocks: int, arguments: Sequence[torch.Tensor | int]) -> None:
    """See `Launch`; on torch's current device and stream."""
    import cupy

    with cupy.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream):
        values: list[Any] = [cupy.from_dlpack(part) if isinstance(part, torch.Tensor) else part for part in arguments]
        _module().get_function(name)((blocks,), (THREADS,), tuple(values))


@cache
def _module() -> Any:
    import cupy

    return cupy.RawModule(code=SOURCE)
