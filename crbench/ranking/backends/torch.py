"""The counting backend of torch operations, and what other backends take from it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import torch

from crbench.ranking.backends.interface import (
    WORK,
    ApproximateDistances,
    Bounds,
    Candidates,
    QueryTasks,
    Tile,
    UncertainPairs,
)
from crbench.ranking.gemm.products import floats
from crbench.ranking.threads import ScratchBuffer

_CHUNK = 1 << 20
"""Elements per float64 work array."""

_ON_CUDA = 4
"""Multiple of `WORK` in one go on CUDA, where an operation takes microseconds however small it is."""

_LAST = torch.iinfo(torch.int64).max


class TorchOperations:
    """The operations that a backend without loops or kernels of its own takes from torch."""

    at_once = sys.maxsize

    def decide(
        self,
        query_tasks: QueryTasks,
        uncertain: UncertainPairs,
        approximate: ApproximateDistances,
        limits: ApproximateDistances,
        columns: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `crbench.ranking.backends.interface.CountingBackend`."""
        counts = uncertain.last - uncertain.first
        upto = counts.cumsum(0)
        place = torch.arange(int(upto[-1]), device=upto.device)
        pair = torch.searchsorted(upto, place, right=True)  # much faster than repeat_interleave
        positive = place + (uncertain.first - upto + counts)[pair]
        distance, limit = approximate.distances[pair], limits.distances[positive]
        error = approximate.errors[pair] + limits.errors[positive]
        nearer = distance < limit - error
        left = (~nearer & ~(distance > limit + error)).nonzero()[:, 0]
        add(query_tasks, uncertain, pair[nearer], positive[nearer], columns)
        return pair[left], positive[left]

    def add_up(self, query_tasks: QueryTasks) -> None:
        """See `crbench.ranking.backends.interface.CountingBackend`.

        Example:
            >>> count_diffs = torch.tensor([5, 2, 1], dtype=torch.int32)
            >>> one, first = torch.tensor([1, 1]), torch.tensor([0, 2, 3])
            >>> labels = {"tasks": one, "rows": one, "labels": one, "widths": one}
            >>> query_tasks = QueryTasks(**labels, first=first, slots=first[:-1], count_diffs=count_diffs)
            >>> TorchOperations().add_up(query_tasks)
            >>> count_diffs.tolist()
            [7, 2, 1]
        """
        widths, counts = (part.tolist() for part in torch.unique_consecutive(query_tasks.widths, return_counts=True))
        start = 0
        for width, count in zip(widths, counts, strict=True):
            first = query_tasks.first[start : start + count + 1] - query_tasks.first[start]
            place = int(query_tasks.slots[start])
            count_diffs = query_tasks.count_diffs[place : place + int(first[-1]) * width].view(-1, width)
            # These sums run on across query-task pairs and may overflow. Only their differences are used, and overflow
            # cancels out in them.
            upto = count_diffs.cumsum(dim=0, dtype=torch.int32)
            count_diffs -= upto
            count_diffs += torch.repeat_interleave(upto[first[1:] - 1], first.diff(), dim=0)
            start += count


class TorchBackend(TorchOperations):
    """Counts with torch operations."""

    def count(
        self, tile: Tile, query_tasks: QueryTasks, bounds: Bounds, candidates: Candidates
    ) -> Iterator[UncertainPairs]:
        """See `crbench.ranking.backends.interface.CountingBackend`."""
        # The product starts now and not at the first pair that is asked for, so that a device has work in its queue.
        products = floats(tile.products(slice(0, len(tile.rows)), ScratchBuffer()))
        return self._compared(products, tile, query_tasks, bounds, candidates)

    def _compared(
        self, products: torch.Tensor, tile: Tile, query_tasks: QueryTasks, bounds: Bounds, candidates: Candidates
    ) -> Iterator[UncertainPairs]:
        terms = tile.terms + candidates.masks
        farthest = bounds.lower[query_tasks.first[:-1]]
        step = max(1, (WORK * _ON_CUDA if terms.is_cuda else WORK) // len(tile.terms))
        for start in range(0, len(farthest), step):
            some = slice(start, start + step)
            rows = query_tasks.rows[some]
            scores = products[rows] * (tile.rows[rows, None] * tile.factors) + terms[query_tasks.tasks[some]]
            scores.masked_fill_(query_tasks.labels[some, None] == tile.labels, torch.nan)
            numbers, items = (scores >= farthest[some, None]).nonzero(as_tuple=True)
            yield _counted(numbers + start, items, scores[numbers, items], query_tasks, bounds, candidates.columns)

    def dots(
        self, a: torch.Tensor, b: torch.Tensor, rows: torch.Tensor, items: torch.Tensor, columns: int
    ) -> torch.Tensor:
        """See `crbench.ranking.backends.interface.CountingBackend`."""
        found = torch.empty(len(rows), dtype=torch.float64, device=a.device)
        step = max(1, _CHUNK // columns)
        for start in range(0, len(rows), step):
            some = slice(start, start + step)
            found[some] = (a[:, :columns][rows[some]].double() * b[:, :columns][items[some]].double()).sum(dim=1)
        return found


def add(
    query_tasks: QueryTasks,
    uncertain: UncertainPairs,
    pairs: torch.Tensor,
    positives: torch.Tensor,
    columns: torch.Tensor,
) -> None:
    """Count the items of some uncertain pairs as ahead of one positive each.

    Args:
        pairs, positives: i64[m] each, places in `uncertain`, and the positives.
        columns: i64[t, g], see `Candidates`.
    """
    query_task, item = uncertain.query_tasks[pairs], uncertain.items[pairs]
    before, width = positives - query_tasks.first[query_task], query_tasks.widths[query_task]
    slots = query_tasks.slots[query_task] + before * width + columns[query_tasks.tasks[query_task], item]
    ones = torch.ones_like(slots, dtype=torch.int32)
    query_tasks.count_diffs.index_add_(0, slots, ones)
    # The array holds differences, so 1 here would count the item for all farther positives too. Each of them is decided
    # on its own.
    farther = before > 0
    query_tasks.count_diffs.index_add_(0, (slots - width)[farther], -ones[farther])


def _counted(
    numbers: torch.Tensor,
    items: torch.Tensor,
    scores: torch.Tensor,
    query_tasks: QueryTasks,
    bounds: Bounds,
    columns: torch.Tensor,
) -> UncertainPairs:
    """Count items where they are certainly ahead; the uncertain pairs among them.

    Args:
        numbers, items, scores: m items that are not certainly behind all positives: i64[m] query-task pairs, i64[m]
            places within the tile, f32[m].
    """
    owners = torch.repeat_interleave(query_tasks.first.diff())
    keys = _keys(numbers, scores)
    # Of the positives of its query-task pair, those before `certain` are certainly behind an item.
    certain = torch.searchsorted(_keys(owners, bounds.upper), keys)
    behind = certain - query_tasks.first[numbers]
    some = behind > 0
    query_task = numbers[some]
    slots = (
        query_tasks.slots[query_task]
        + (behind[some] - 1) * query_tasks.widths[query_task]
        + columns[query_tasks.tasks[query_task], items[some]]
    )
    query_tasks.count_diffs.index_add_(0, slots, torch.ones_like(slots, dtype=torch.int32))
    lower = _keys(owners, bounds.lower)
    lower = torch.cat([lower, lower.new_full((1,), _LAST)])
    uncertain = (lower[certain] <= keys).nonzero()[:, 0]
    last = torch.searchsorted(lower, keys[uncertain], right=True)
    return UncertainPairs(numbers[uncertain], items[uncertain], first=certain[uncertain], last=last)


def _keys(rows: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """i64[n] that sort as the pairs (row, score) do, for scores f32[n] without NaN."""
    bits = (scores + 0.0).view(torch.int32)  # Adding 0 turns -0 into 0.
    return (rows << 32) + torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
