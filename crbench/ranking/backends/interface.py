"""What the tiled engine leaves to a counting backend: comparing scores with bounds, and distances in float64.

`crbench.ranking.backends.torch` is the plain implementation, for the CPU and CUDA; `numba` and `cuda` are faster ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import attrs
import torch

from crbench.ranking.threads import ScratchBuffer

WORK = 1 << 20
"""Scores, or comparisons of uncertain pairs, in one go."""

Products = Callable[[slice, ScratchBuffer], torch.Tensor]


@attrs.frozen(eq=False)
class Tile:
    """A block of queries against a chunk of the gallery.

    The score of query i and item j is ``products[i, j] * rows[i] * factors[j] + terms[j]``.

    Attributes:
        products: computes the products of a range of the queries, in a scratch buffer where that helps, so that a
            thread counts what it has just multiplied; see `crbench.ranking.gemm.products.product`.
        rows: f32[b].
        factors, terms: f32[g].
        labels: i64[g], of the items.
        by_label: i64[g], the items in the order of their labels.
    """

    products: Products
    rows: torch.Tensor
    factors: torch.Tensor
    terms: torch.Tensor
    labels: torch.Tensor
    by_label: torch.Tensor


@attrs.frozen(eq=False)
class QueryTasks:
    """The query-task pairs of a block: each query once per task in which it has positives, task by task.

    The counts of positive p of pair i are ``count_diffs[place : place + widths[i]]``, where ``place = slots[i] +
    (p - first[i]) * widths[i]``.

    Attributes:
        tasks, rows, labels: i64[a], the task, the query's row in the block, and its label.
        first: i64[a + 1]; the positives of pair i are those from ``first[i]`` up to ``first[i + 1]``, at least one,
            from the farthest to the nearest.
        slots: i64[a], where the counts of a pair begin.
        widths: i64[a], counts per positive, one per column.
        count_diffs: i32[...], the difference array, added to: how many items are ahead of this positive and of no
            nearer one.
    """

    tasks: torch.Tensor
    rows: torch.Tensor
    labels: torch.Tensor
    first: torch.Tensor
    slots: torch.Tensor
    widths: torch.Tensor
    count_diffs: torch.Tensor


@attrs.frozen(eq=False)
class Bounds:
    """Bounds of the positives' scores for one tile.

    Attributes:
        lower, upper: f32[p]; an item whose score is below `lower` is certainly behind the positive, one whose score is
            above `upper` certainly ahead. Both rise within a query-task pair.
    """

    lower: torch.Tensor
    upper: torch.Tensor


@attrs.frozen(eq=False)
class Candidates:
    """Which items of a tile may be ahead of a positive, for each of t tasks.

    Attributes:
        masks: f32[t, g], added to the scores: NaN for an item that is no candidate, else 0.
        columns: i64[t, g], in which column an item is counted.
    """

    masks: torch.Tensor
    columns: torch.Tensor


@attrs.frozen(eq=False)
class UncertainPairs:
    """Pairs of a query-task pair and an item of which the bounds leave some positives undecided: i64[m] each.

    Attributes:
        query_tasks, items: numbers of the query-task pairs, and places within the tile.
        first, last: the positives in question are those from `first` up to, not including, `last`.
    """

    query_tasks: torch.Tensor
    items: torch.Tensor
    first: torch.Tensor
    last: torch.Tensor

    def chunks(self) -> Iterator[UncertainPairs]:
        """The pairs in chunks of about `WORK` comparisons."""
        if len(self.query_tasks) == 0:
            return
        upto = (self.last - self.first).cumsum(0)
        marks = torch.arange(1, int(upto[-1]) // WORK + 1, device=upto.device) * WORK
        ends = torch.unique(torch.searchsorted(upto, marks, right=True)).tolist()
        for start, stop in zip([0, *ends], [*ends, len(upto)], strict=True):
            if start < stop:
                some = slice(start, stop)
                yield UncertainPairs(self.query_tasks[some], self.items[some], self.first[some], self.last[some])


@attrs.frozen(eq=False)
class ApproximateDistances:
    """Distances f64[m] that differ from the definition's by at most errors f64[m]."""

    distances: torch.Tensor
    errors: torch.Tensor

    def take(self, index: torch.Tensor) -> ApproximateDistances:
        """The distances at some places, i64[k]."""
        return ApproximateDistances(self.distances[index], self.errors[index])


class CountingBackend(Protocol):
    """Counts the items of tiles that are ahead of positives, and compares distances of pairs.

    Attributes:
        at_once: most queries of a tile whose scores are in memory at the same time.
    """

    at_once: int

    def count(
        self, tile: Tile, query_tasks: QueryTasks, bounds: Bounds, candidates: Candidates
    ) -> Iterator[UncertainPairs]:
        """Add to ``query_tasks.count_diffs`` the items that are certainly ahead, and give the uncertain pairs.

        Items that have the query's label are neither. The counts are complete once the iterator is exhausted.
        """

    def dots(
        self, a: torch.Tensor, b: torch.Tensor, rows: torch.Tensor, items: torch.Tensor, columns: int
    ) -> torch.Tensor:
        """f64[m], inner products of rows of `a` and `b`, f32[n, D] or f64[n, D] both, in float64 and any order.

        Args:
            rows, items: i64[m] each.
            columns: how many leading columns count.
        """

    def decide(
        self,
        query_tasks: QueryTasks,
        uncertain: UncertainPairs,
        approximate: ApproximateDistances,
        limits: ApproximateDistances,
        columns: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add to ``query_tasks.count_diffs`` the items that are certainly nearer than positives in question.

        Args:
            approximate, limits: distances of the uncertain pairs, and of all positives.
            columns: i64[t, g], see `Candidates`.

        Returns:
            The comparisons that are still uncertain: places in `uncertain`, and positives, i64[m] each.
        """

    def add_up(self, query_tasks: QueryTasks) -> None:
        """Sum up the difference array in place, which makes it counts: how many items are ahead of each positive."""
