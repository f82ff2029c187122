"""The counting backend for CUDA: kernels that count a tile of scores while it is in the cache, launched by CuPy.

Arrays are torch tensors, shared by DLPack; all memory comes from torch's pool, and kernels run on torch's stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, Protocol

import torch

from crbench.ranking.backends.interface import Bounds, Candidates, QueryTasks, Tile, UncertainPairs
from crbench.ranking.backends.torch import TorchBackend, TorchOperations
from crbench.ranking.gemm.products import floats
from crbench.ranking.threads import ScratchBuffer

THREADS = 256
"""Threads per block; a power of two."""

_QUERY_TASKS = 4
"""Query-task pairs per block; all but the first find the items' factors and terms in the cache."""

_SHARED_COUNTS = 512
"""Counts per query-task pair that stay in shared memory until the block is done."""

_UNCERTAIN_SHARE = 32
"""One in so many pairs may be uncertain before they are listed in several launches. With more of them, the engine turns
to finer products anyway.
"""

SOURCE = (
    f"enum {{ QUERY_TASKS = {_QUERY_TASKS}, SHARED_COUNTS = {_SHARED_COUNTS} }};"
    + r"""
typedef long long i64;

/* Of the rising bounds from first up to last, the end of those that a score is above, or equal to if `equal`. */
__device__ i64 search(float score, const float *bounds, i64 first, i64 last, bool equal)
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

/* Count the items ahead, for the query-task pairs from start to stop. A block has a few of these; its threads take the
   items in turns. uncertain: i64[4, capacity], a list of the uncertain pairs; filled: i64[1], how many there are, of
   which those beyond the capacity are not listed. If `only_list`, nothing is counted. */
extern "C" __global__ void count(
    i64 start, i64 stop, i64 items, const float *products, const float *row_factors, const float *factors,
    const float *terms, const i64 *item_labels, const i64 *tasks, const i64 *rows, const i64 *labels,
    const i64 *first, const i64 *slots, const i64 *widths, int *count_diffs, const float *lower, const float *upper,
    const i64 *columns, i64 only_list, i64 capacity, i64 *uncertain, unsigned long long *filled)
{
    __shared__ int shared_counts[QUERY_TASKS][SHARED_COUNTS];
    const i64 block_start = start + QUERY_TASKS * (i64)blockIdx.x;
    const int query_tasks = stop - block_start < QUERY_TASKS ? (int)(stop - block_start) : QUERY_TASKS;
    const float *scores[QUERY_TASKS], *own_terms[QUERY_TASKS];
    float scale[QUERY_TASKS], farthest[QUERY_TASKS];
    #pragma unroll
    for (int local = 0; local < QUERY_TASKS; local++) {
        const i64 query_task = local < query_tasks ? block_start + local : block_start;
        scores[local] = products + rows[query_task] * items;
        own_terms[local] = terms + tasks[query_task] * items;
        scale[local] = row_factors[rows[query_task]];
        farthest[local] = lower[first[query_task]];
        for (int place = threadIdx.x; place < SHARED_COUNTS; place += blockDim.x)
            shared_counts[local][place] = 0;
    }
    __syncthreads();
    for (i64 item = threadIdx.x; item < items; item += blockDim.x) {
        #pragma unroll
        for (int local = 0; local < QUERY_TASKS; local++) {
            const float score = scores[local][item] * (scale[local] * factors[item]) + own_terms[local][item];
            if (!(score >= farthest[local]) || local >= query_tasks)
                continue;
            const i64 query_task = block_start + local, begin = first[query_task], end = first[query_task + 1];
            if (item_labels[item] == labels[query_task])
                continue;
            /* Positives before `certain` are certainly behind, those from there up to `possible` are uncertain. */
            const i64 certain = search(score, upper, begin, end, false);
            const i64 possible = search(score, lower, certain, end, true);
            if (certain > begin && !only_list) {
                const i64 column = columns[tasks[query_task] * items + item];
                const i64 place = (certain - 1 - begin) * widths[query_task] + column;
                if (place < SHARED_COUNTS)
                    atomicAdd(&shared_counts[local][place], 1);
                else
                    atomicAdd(count_diffs + slots[query_task] + place, 1);
            }
            if (possible > certain) {
                const i64 place = (i64)atomicAdd(filled, 1ULL);
                if (place < capacity) {
                    uncertain[place] = query_task;
                    uncertain[capacity + place] = item;
                    uncertain[2 * capacity + place] = certain;
                    uncertain[3 * capacity + place] = possible;
                }
            }
        }
    }
    __syncthreads();
    for (int local = 0; local < query_tasks; local++) {
        const i64 query_task = block_start + local;
        const i64 counts = (first[query_task + 1] - first[query_task]) * widths[query_task];
        for (int place = threadIdx.x; place < SHARED_COUNTS && place < counts; place += blockDim.x)
            if (shared_counts[local][place])
                count_diffs[slots[query_task] + place] += shared_counts[local][place];
    }
}

/* Inner products of pairs of rows, in float64: found[pair] = a[rows[pair]] . b[items[pair]]. A block takes one pair
   after another. */
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
    """Launches a kernel of `SOURCE` on a grid of so many blocks; arguments are tensors and 64-bit integers."""

    def __call__(self, name: str, blocks: int, arguments: Sequence[torch.Tensor | int]) -> None: ...


class CudaBackend(TorchOperations):
    """Counts with the kernels of `SOURCE`.

    Memory beside the tile: 32 bytes for one in `_UNCERTAIN_SHARE` of its pairs, to list the uncertain ones.
    """

    def __init__(self, launch: Launch) -> None:
        self._launch = launch

    def count(
        self, tile: Tile, query_tasks: QueryTasks, bounds: Bounds, candidates: Candidates
    ) -> Iterator[UncertainPairs]:
        """See `crbench.ranking.backends.interface.CountingBackend`; launches at once, waits for the pairs."""
        products = floats(tile.products(slice(0, len(tile.rows)), ScratchBuffer()))
        values = [products, tile.rows, tile.factors, tile.terms + candidates.masks, bounds.lower, bounds.upper]
        *before, lower, upper = _checked(values, torch.float32)
        integers = [tile.labels, query_tasks.tasks, query_tasks.rows, query_tasks.labels, query_tasks.first]
        integers += [query_tasks.slots, query_tasks.widths, candidates.columns]
        *labels, columns = _checked(integers, torch.int64)
        _checked([query_tasks.count_diffs], torch.int32)
        count, items = len(query_tasks.rows), len(tile.terms)
        arguments: list[torch.Tensor | int] = [items, *before, *labels, query_tasks.count_diffs, lower, upper, columns]
        capacity = max(items, products.numel() // _UNCERTAIN_SHARE)
        listed = torch.empty(4, capacity, dtype=torch.int64, device=tile.terms.device)

        def launch(start: int, stop: int, *, only_list: bool) -> torch.Tensor:
            filled = torch.zeros(1, dtype=torch.int64, device=listed.device)
            blocks = -(-(stop - start) // _QUERY_TASKS)
            self._launch("count", blocks, [start, stop, *arguments, int(only_list), capacity, listed, filled])
            return filled

        return self._listed(launch(0, count, only_list=False), launch, listed, count, capacity // items)

    def _listed(
        self,
        filled: torch.Tensor,
        launch: Callable[..., torch.Tensor],
        listed: torch.Tensor,
        query_tasks: int,
        step: int,
    ) -> Iterator[UncertainPairs]:
        """The uncertain pairs; if they are too many for the list, listed anew for a few query-task pairs at a time."""
        found = int(filled)
        if found <= listed.shape[1]:
            yield UncertainPairs(*listed[:, :found])
            return
        for start in range(0, query_tasks, step):
            found = int(launch(start, min(start + step, query_tasks), only_list=True))
            yield UncertainPairs(*listed[:, :found])

    def dots(
        self, a: torch.Tensor, b: torch.Tensor, rows: torch.Tensor, items: torch.Tensor, columns: int
    ) -> torch.Tensor:
        """See `crbench.ranking.backends.interface.CountingBackend`; one block per pair, up to 2**20 blocks."""
        if a.dtype == torch.float64:
            return TorchBackend().dots(a, b, rows, items, columns)
        _checked([a, b], torch.float32)
        _checked([rows, items], torch.int64)
        found = torch.empty(len(rows), dtype=torch.float64, device=a.device)
        if len(rows):
            blocks = min(len(rows), 1 << 20)
            self._launch("dots", blocks, [len(rows), a, a.shape[1], b, b.shape[1], rows, items, columns, found])
        return found


def _checked(arrays: list[torch.Tensor], dtype: torch.dtype) -> list[torch.Tensor]:
    """The arrays, if kernels can read them.

    Raises:
        TypeError: one is not contiguous or of another dtype.
    """
    for array in arrays:
        if array.dtype != dtype or not array.is_contiguous():
            raise TypeError(
                f"a kernel was given {array.dtype} of strides {array.stride()}; expected contiguous {dtype}"
            )
    return arrays


def launch_by_cupy(name: str, blocks: int, arguments: Sequence[torch.Tensor | int]) -> None:
    """See `Launch`; runs on the tensors' device, on torch's current stream there."""
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
