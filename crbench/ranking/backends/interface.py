"""What a tiled engine leaves to a counter: to compare a tile of scores with bounds, and what is in doubt in float64.

`crbench.ranking.backends.torch` does it with torch operations, on the CPU and on CUDA.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import attrs
import torch

from crbench.ranking.threads import ScratchBuffer

WORK = 1 << 20
"""Scores looked at, and pairs compared, in one go."""


Products = Callable[[slice, ScratchBuffer], torch.Tensor]


@attrs.frozen(eq=False)
class Tile:
    """Some queries against some gallery items; ``products[i, j] * rows[i] * factors[j] + terms[j]`` is a score.

    Attributes:
        products: gives those of a range of the queries, perhaps in a room, so that a thread compares what it has just
            multiplied; see `crbench.ranking.gemm.products.product`.
        rows: f32[b].
        factors, terms: f32[g].
        labels: i64[g].
        by_label: i64[g], the items in the order of their pids.
    """

    products: Products
    rows: torch.Tensor
    factors: torch.Tensor
    terms: torch.Tensor
    labels: torch.Tensor
    by_label: torch.Tensor


@attrs.frozen(eq=False)
class QueryTasks:
    """Queries of a block with their positives, once for each task that asks for them; task by task.

    The counts of positive p of query_task i are ``count_diffs[place : place + widths[i]]``, where ``place = slots[i] +
    (p - first[i]) * widths[i]``.

    Attributes:
        tasks, rows, labels: i64[a], which task, which query of the block, and its person.
        first: i64[a + 1], where the positives of each begin, of which it has one at least: from the farthest to the
            nearest.
        slots: i64[a], where the counts of each begin.
        widths: i64[a], counts per positive, one per column.
        count_diffs: i32[...], to be added to: how many items are ahead of this positive and of no nearer one.
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
    """Scores between which nothing is sure of a positive.

    Attributes:
        low, upper: f32[p], below and above which a score is surely behind and surely ahead of a positive; rising within
            an query_task.
    """

    lower: torch.Tensor
    upper: torch.Tensor


@attrs.frozen(eq=False)
class Candidates:
    """Which items of a tile may be ahead: nan f32[t, g] marks those that may not, 0 the others; columns i64[t, g]."""

    masks: torch.Tensor
    columns: torch.Tensor


@attrs.frozen(eq=False)
class UncertainPairs:
    """Items that are neither surely ahead of a positive nor surely behind it: i64[m] each.

    Attributes:
        query_tasks, items: who asks, and places within the tile.
        first, last: the positives in question.
    """

    query_tasks: torch.Tensor
    items: torch.Tensor
    first: torch.Tensor
    last: torch.Tensor

    def chunks(self) -> Iterator[UncertainPairs]:
        """In pieces of about `WORK` comparisons."""
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
        """Some of them."""
        return ApproximateDistances(self.distances[index], self.errors[index])


class CountingBackend(Protocol):
    """Compares tiles of scores with bounds, and distances of pairs.

    Attributes:
        at_once: most queries of a tile of which it has scores at the same time.
    """

    at_once: int

    def count(
        self, tile: Tile, query_tasks: QueryTasks, bounds: Bounds, candidates: Candidates
    ) -> Iterator[UncertainPairs]:
        """Add to ``query_tasks.count_diffs`` the items that are certainly ahead, and give the uncertain pairs.

        Items of the query's own person are neither. All counts are there once the uncertain pairs were gone through.
        """

    def dots(
        self, a: torch.Tensor, b: torch.Tensor, rows: torch.Tensor, items: torch.Tensor, columns: int
    ) -> torch.Tensor:
        """f64[m], inner products of rows of `a` and of `b`, f32[n, D] each, in float64 and in any order of summation.

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
        """Add to ``query_tasks.count_diffs`` what is nearer than the positives in question, as far as distances tell.

        Args:
            approximate, limits: of each doubt and of each positive.
            columns: i64[t, g], see `Candidates`.

        Returns:
            UncertainPairs and positives, i64[m] each, of the pairs that are left.
        """

    def add_up(self, query_tasks: QueryTasks) -> None:
        """Turn the difference array into counts: how many items are ahead of each positive, in place."""
