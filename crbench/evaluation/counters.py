"""What a tiled engine leaves to a counter: to compare a tile of scores with bounds, and inner products of pairs.

`TorchCounter` does it with torch operations, on the CPU and on CUDA.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import attrs
import torch

WORK = 1 << 20
"""Scores looked at, and pairs compared, in one go by torch operations."""

_CHUNK = 1 << 20
"""Elements per float64 work array."""

_ON_CUDA = 4
"""Times `WORK` at once on CUDA, where an operation takes microseconds however small it is."""

_LAST = torch.iinfo(torch.int64).max


@attrs.frozen(eq=False)
class Tile:
    """Some queries against some gallery items; ``products[i, j] * rows[i] * factors[j] + terms[j]`` is a score.

    Attributes:
        products: f32[b, g].
        rows: f32[b].
        factors, terms: f32[g].
        pids: i64[g].
        by_pid: i64[g], the items in the order of their pids.
    """

    products: torch.Tensor
    rows: torch.Tensor
    factors: torch.Tensor
    terms: torch.Tensor
    pids: torch.Tensor
    by_pid: torch.Tensor


@attrs.frozen(eq=False)
class Askers:
    """Queries of a block with their positives, once for each task that asks for them; task by task.

    The counts of positive p of asker i are ``leaps[place : place + widths[i]]``, where ``place = slots[i] +
    (p - first[i]) * widths[i]``.

    Attributes:
        tasks, rows, pids: i64[a], which task, which query of the block, and its person.
        first: i64[a + 1], where the positives of each begin, of which it has one at least: from the farthest to the
            nearest.
        slots: i64[a], where the counts of each begin.
        widths: i64[a], counts per positive, one per column.
        leaps: i32[...], to be added to: how many items are ahead of this positive and of no nearer one.
    """

    tasks: torch.Tensor
    rows: torch.Tensor
    pids: torch.Tensor
    first: torch.Tensor
    slots: torch.Tensor
    widths: torch.Tensor
    leaps: torch.Tensor


@attrs.frozen(eq=False)
class Bounds:
    """Scores between which nothing is sure of a positive.

    Attributes:
        low, high: f32[p], below and above which a score is surely behind and surely ahead of a positive; rising within
            an asker.
    """

    low: torch.Tensor
    high: torch.Tensor


@attrs.frozen(eq=False)
class Candidates:
    """Which items of a tile may be ahead: nan f32[t, g] marks those that may not, 0 the others; columns i64[t, g]."""

    masks: torch.Tensor
    columns: torch.Tensor


@attrs.frozen(eq=False)
class Doubts:
    """Items that are neither surely ahead of a positive nor surely behind it: i64[m] each.

    Attributes:
        askers, items: who asks, and places within the tile.
        first, last: the positives in question.
    """

    askers: torch.Tensor
    items: torch.Tensor
    first: torch.Tensor
    last: torch.Tensor


class Counter(Protocol):
    """Compares tiles of scores with bounds."""

    def count(self, tile: Tile, askers: Askers, bounds: Bounds, candidates: Candidates) -> Iterator[Doubts]:
        """Add to ``askers.leaps`` what is surely ahead; items of the query's own person never are, nor in doubt.

        All is added once the doubts were gone through.
        """

    def dots(
        self, a: torch.Tensor, b: torch.Tensor, rows: torch.Tensor, items: torch.Tensor, columns: int
    ) -> torch.Tensor:
        """f64[m], inner products of rows of `a` and of `b`, f32[n, D] each, in float64 and in any order of summation.

        Args:
            rows, items: i64[m] each.
            columns: how many leading columns count.
        """

    def add_up(self, askers: Askers) -> None:
        """Make of ``askers.leaps`` how many items are ahead of each positive: add those of all nearer ones."""


class TorchCounter:
    """Counts with torch operations."""

    def count(self, tile: Tile, askers: Askers, bounds: Bounds, candidates: Candidates) -> Iterator[Doubts]:
        """See `Counter`."""
        terms = tile.terms + candidates.masks
        farthest = bounds.low[askers.first[:-1]]
        step = max(1, (WORK * _ON_CUDA if terms.is_cuda else WORK) // len(tile.terms))
        for start in range(0, len(farthest), step):
            some = slice(start, start + step)
            rows = askers.rows[some]
            scores = tile.products[rows] * (tile.rows[rows, None] * tile.factors) + terms[askers.tasks[some]]
            scores.masked_fill_(askers.pids[some, None] == tile.pids, torch.nan)
            mine, items = (scores >= farthest[some, None]).nonzero(as_tuple=True)
            yield _found(mine + start, items, scores[mine, items], askers, bounds, candidates.columns)

    def dots(
        self, a: torch.Tensor, b: torch.Tensor, rows: torch.Tensor, items: torch.Tensor, columns: int
    ) -> torch.Tensor:
        """See `Counter`."""
        found = torch.empty(len(rows), dtype=torch.float64, device=a.device)
        step = max(1, _CHUNK // columns)
        for start in range(0, len(rows), step):
            some = slice(start, start + step)
            found[some] = (a[:, :columns][rows[some]].double() * b[:, :columns][items[some]].double()).sum(dim=1)
        return found

    def add_up(self, askers: Askers) -> None:
        """See `Counter`."""
        add_up(askers)


def add_up(askers: Askers) -> None:
    """See `Counter.add_up`.

    Example:
        >>> leaps = torch.tensor([5, 2, 1], dtype=torch.int32)
        >>> one, first = torch.tensor([1, 1]), torch.tensor([0, 2, 3])
        >>> add_up(Askers(tasks=one, rows=one, pids=one, first=first, slots=first[:-1], widths=one, leaps=leaps))
        >>> leaps.tolist()
        [7, 2, 1]
    """
    widths, counts = (part.tolist() for part in torch.unique_consecutive(askers.widths, return_counts=True))
    start = 0
    for width, count in zip(widths, counts, strict=True):
        first = askers.first[start : start + count + 1] - askers.first[start]
        place = int(askers.slots[start])
        leaps = askers.leaps[place : place + int(first[-1]) * width].view(-1, width)
        upto = leaps.cumsum(dim=0, dtype=torch.int32)  # may wrap around; the differences are right all the same
        leaps -= upto
        leaps += torch.repeat_interleave(upto[first[1:] - 1], first.diff(), dim=0)
        start += count


def _found(
    mine: torch.Tensor,
    items: torch.Tensor,
    scores: torch.Tensor,
    askers: Askers,
    bounds: Bounds,
    columns: torch.Tensor,
) -> Doubts:
    """Count some items, and say which of them are in doubt."""
    owners = torch.repeat_interleave(askers.first.diff())
    keys = _keys(mine, scores)
    surely = torch.searchsorted(_keys(owners, bounds.high), keys)
    ahead = surely - askers.first[mine]
    counted = ahead > 0
    who = mine[counted]
    leaps = askers.slots[who] + (ahead[counted] - 1) * askers.widths[who] + columns[askers.tasks[who], items[counted]]
    askers.leaps.index_add_(0, leaps, torch.ones_like(leaps, dtype=torch.int32))
    low = _keys(owners, bounds.low)
    low = torch.cat([low, low.new_full((1,), _LAST)])
    doubtful = (low[surely] <= keys).nonzero()[:, 0]
    last = torch.searchsorted(low, keys[doubtful], right=True)
    return Doubts(askers=mine[doubtful], items=items[doubtful], first=surely[doubtful], last=last)


def _keys(rows: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """i64[n] that sort as the pairs (row, score) do, for scores f32[n] without NaN."""
    bits = (scores + 0.0).view(torch.int32)  # adding 0 makes one zero of the two
    return (rows << 32) + torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
