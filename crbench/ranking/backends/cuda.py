"""The counter for CUDA: kernels that count a tile of scores while it is in the cache, launched by CuPy.

Arrays are torch tensors, shared by DLPack; all memory comes from torch's pool, and kernels run on torch's stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, Protocol

import torch

from crbench.ranking.backends.interface import Askers, Bounds, Candidates, Doubts, Tile
from crbench.ranking.backends.torch import Operations
from crbench.ranking.gemm.products import floats
from crbench.ranking.threads import Room

THREADS = 256
"""Per block; a power of two."""

_ASKERS = 4
"""Askers per block, for which factors and terms come from the cache."""

_TALLY = 512
"""Counts per asker that are kept beside a block's threads until it is done."""

_DOUBTFUL = 32
"""One in so many pairs may be in doubt before they are listed in parts; more make the engine turn to finer products."""

SOURCE = (
    f"enum {{ ASKERS = {_ASKERS}, TALLY = {_TALLY} }};"
    + r"""
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

/* A few askers per block; its threads take the items in turns. doubts: i64[4, capacity], filled: i64[1], how many
   there are, of which those beyond the capacity are not listed. Counts are left alone if `only_list`. */
extern "C" __global__ void count(
    i64 start, i64 stop, i64 items, const float *products, const float *row_factors, const float *factors,
    const float *terms, const i64 *item_pids, const i64 *tasks, const i64 *rows, const i64 *pids,
    const i64 *first, const i64 *slots, const i64 *widths, int *leaps, const float *low, const float *high,
    const i64 *columns, i64 only_list, i64 capacity, i64 *doubts, unsigned long long *filled)
{
    __shared__ int tally[ASKERS][TALLY];
    const i64 from = start + ASKERS * (i64)blockIdx.x;
    const int askers = stop - from < ASKERS ? (int)(stop - from) : ASKERS;
    const float *scores[ASKERS], *own_terms[ASKERS];
    float scale[ASKERS], farthest[ASKERS];
    #pragma unroll
    for (int mine = 0; mine < ASKERS; mine++) {
        const i64 asker = mine < askers ? from + mine : from;
        scores[mine] = products + rows[asker] * items;
        own_terms[mine] = terms + tasks[asker] * items;
        scale[mine] = row_factors[rows[asker]];
        farthest[mine] = low[first[asker]];
        for (int place = threadIdx.x; place < TALLY; place += blockDim.x)
            tally[mine][place] = 0;
    }
    __syncthreads();
    for (i64 item = threadIdx.x; item < items; item += blockDim.x) {
        #pragma unroll
        for (int mine = 0; mine < ASKERS; mine++) {
            const float score = scores[mine][item] * (scale[mine] * factors[item]) + own_terms[mine][item];
            if (!(score >= farthest[mine]) || mine >= askers)
                continue;
            const i64 asker = from + mine, begin = first[asker], end = first[asker + 1];
            if (item_pids[item] == pids[asker])
                continue;
            const i64 surely = passed(score, high, begin, end, false);
            const i64 possibly = passed(score, low, surely, end, true);
            if (surely > begin && !only_list) {
                const i64 place = (surely - 1 - begin) * widths[asker] + columns[tasks[asker] * items + item];
                if (place < TALLY)
                    atomicAdd(&tally[mine][place], 1);
                else
                    atomicAdd(leaps + slots[asker] + place, 1);
            }
            if (possibly > surely) {
                const i64 place = (i64)atomicAdd(filled, 1ULL);
                if (place < capacity) {
                    doubts[place] = asker;
                    doubts[capacity + place] = item;
                    doubts[2 * capacity + place] = surely;
                    doubts[3 * capacity + place] = possibly;
                }
            }
        }
    }
    __syncthreads();
    for (int mine = 0; mine < askers; mine++) {
        const i64 asker = from + mine, counts = (first[asker + 1] - first[asker]) * widths[asker];
        for (int place = threadIdx.x; place < TALLY && place < counts; place += blockDim.x)
            if (tally[mine][place])
                leaps[slots[asker] + place] += tally[mine][place];
    }
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
)


class Launch(Protocol):
    """Runs a kernel of `SOURCE` on a grid of so many blocks; arguments are tensors and 64-bit integers."""

    def __call__(self, name: str, blocks: int, arguments: Sequence[torch.Tensor | int]) -> None: ...


class KernelCounter(Operations):
    """Counts with the kernels of `SOURCE`.

    Memory beside the tile: 32 bytes for one in `_DOUBTFUL` of its pairs, to list what is in doubt.
    """

    def __init__(self, launch: Launch) -> None:
        self._launch = launch

    def count(self, tile: Tile, askers: Askers, bounds: Bounds, candidates: Candidates) -> Iterator[Doubts]:
        """See `crbench.ranking.backends.interface.Counter`; launches at once, and waits when doubts are asked for."""
        products = floats(tile.products(slice(0, len(tile.rows)), Room()))
        values = [products, tile.rows, tile.factors, tile.terms + candidates.masks, bounds.low, bounds.high]
        *before, low, high = _checked(values, torch.float32)
        integers = [tile.pids, askers.tasks, askers.rows, askers.pids, askers.first, askers.slots, askers.widths]
        *labels, columns = _checked([*integers, candidates.columns], torch.int64)
        _checked([askers.leaps], torch.int32)
        count, items = len(askers.rows), len(tile.terms)
        arguments: list[torch.Tensor | int] = [items, *before, *labels, askers.leaps, low, high, columns]
        capacity = max(items, products.numel() // _DOUBTFUL)
        listed = torch.empty(4, capacity, dtype=torch.int64, device=tile.terms.device)

        def launch(start: int, stop: int, *, only_list: bool) -> torch.Tensor:
            filled = torch.zeros(1, dtype=torch.int64, device=listed.device)
            blocks = -(-(stop - start) // _ASKERS)
            self._launch("count", blocks, [start, stop, *arguments, int(only_list), capacity, listed, filled])
            return filled

        return self._listed(launch(0, count, only_list=False), launch, listed, count, capacity // items)

    def _listed(
        self, filled: torch.Tensor, launch: Callable[..., torch.Tensor], listed: torch.Tensor, askers: int, step: int
    ) -> Iterator[Doubts]:
        """What is in doubt; listed again, in parts of a few askers, where there is no room for all."""
        found = int(filled)
        if found <= listed.shape[1]:
            yield Doubts(*listed[:, :found])
            return
        for start in range(0, askers, step):
            found = int(launch(start, min(start + step, askers), only_list=True))
            yield Doubts(*listed[:, :found])

    def dots(
        self, a: torch.Tensor, b: torch.Tensor, rows: torch.Tensor, items: torch.Tensor, columns: int
    ) -> torch.Tensor:
        """See `crbench.ranking.backends.interface.Counter`; one block per pair."""
        _checked([a, b], torch.float32)
        _checked([rows, items], torch.int64)
        found = torch.empty(len(rows), dtype=torch.float64, device=a.device)
        if len(rows):
            blocks = min(len(rows), 1 << 20)
            self._launch("dots", blocks, [len(rows), a, a.shape[1], b, b.shape[1], rows, items, columns, found])
        return found


def _checked(arrays: list[torch.Tensor], dtype: torch.dtype) -> list[torch.Tensor]:
    """The arrays, if kernels can read them."""
    for array in arrays:
        if array.dtype != dtype or not array.is_contiguous():
            raise TypeError(
                f"a kernel was given {array.dtype} of strides {array.stride()}; expected contiguous {dtype}"
            )
    return arrays


def launch_by_cupy(name: str, blocks: int, arguments: Sequence[torch.Tensor | int]) -> None:
    """See `Launch`; on the device of the tensors and torch's current stream there."""
    import cupy

    device = next(part.device for part in arguments if isinstance(part, torch.Tensor))
    with (
        cupy.cuda.Device(device.index),
        cupy.cuda.ExternalStream(torch.cuda.current_stream(device).cuda_stream),
    ):
        values: list[Any] = [cupy.from_dlpack(part) if isinstance(part, torch.Tensor) else part for part in arguments]
        _module().get_function(name)((blocks,), (THREADS,), tuple(values))


@cache
def _module() -> Any:
    import cupy

    return cupy.RawModule(code=SOURCE)
