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

_LAST = torch.iinfo(torch.int64).max


@attrs.frozen(eq=False)
class Tile:
    """Some queries against some gallery items; ``products[i, j] * rows[i] * factors[j] + terms[j]`` is a score.

    Attributes:
        products: f32[b, g].
        rows: f32[b].
        factors, terms: f32[g].
        query_pids: i64[b].
        pids: i64[g], pids of the items, rising.
        by_pid: i64[g], the item to which each of `pids` belongs.
    """

    products: torch.Tensor
    rows: torch.Tensor
    factors: torch.Tensor
    terms: torch.Tensor
    query_pids: torch.Tensor
    pids: torch.Tensor
    by_pid: torch.Tensor


@attrs.frozen(eq=False)
class Bounds:
    """Positives of the queries of a tile, query by query from the farthest to the nearest.

    Attributes:
        first: i64[b + 1], where the positives of each query begin.
        low, high: f32[p], below and above which a score is surely behind and surely ahead of a positive; rising within
            a query.
        leaps: i32[p * width], to be added to: how many items are ahead of this positive and of no nearer one, per
            column.
        width: columns.
    """

    first: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor
    leaps: torch.Tensor
    width: int


@attrs.frozen(eq=False)
class Candidates:
    """Which items of a tile may be ahead: nan f32[g] marks those that may not, 0 the others; columns i64[g]."""

    mask: torch.Tensor
    columns: torch.Tensor


@attrs.frozen(eq=False)
class Doubts:
    """Items that are neither surely ahead of a positive nor surely behind it: i64[m] each.

    Attributes:
        rows, items: places within the tile.
        first, last: the positives in question, within the bounds.
    """

    rows: torch.Tensor
    items: torch.Tensor
    first: torch.Tensor
    last: torch.Tensor


class Counter(Protocol):
    """Compares tiles of scores with bounds."""

    def count(self, tile: Tile, bounds: Bounds, candidates: Candidates) -> Iterator[Doubts]:
        """Add to ``bounds.leaps`` what is surely ahead; items of the query's own person never are, nor in doubt."""

    def dots(
        self, a: torch.Tensor, b: torch.Tensor, rows: torch.Tensor, items: torch.Tensor, columns: int
    ) -> torch.Tensor:
        """f64[m], inner products of rows of `a` and of `b`, f32[n, D] each, in float64 and in any order of summation.

        Args:
            rows, items: i64[m] each.
            columns: how many leading columns count.
        """

    def totals(self, leaps: torch.Tensor, first: torch.Tensor, owners: torch.Tensor) -> torch.Tensor:
        """See `totals`; `leaps` may be used up."""


class TorchCounter:
    """Counts with torch operations."""

    def count(self, tile: Tile, bounds: Bounds, candidates: Candidates) -> Iterator[Doubts]:
        """See `Counter`."""
        terms = tile.terms + candidates.mask
        pids = torch.empty_like(tile.pids)
        pids[tile.by_pid] = tile.pids
        low = torch.cat([bounds.low, bounds.low.new_full((1,), torch.inf)])  # a query without positives at the end
        farthest = torch.where(bounds.first[1:] > bounds.first[:-1], low[bounds.first[:-1]], torch.inf)[:, None]
        step = max(1, WORK // len(terms))
        for start in range(0, len(tile.rows), step):
            some = slice(start, start + step)
            scores = tile.products[some] * (tile.rows[some, None] * tile.factors) + terms
            scores.masked_fill_(tile.query_pids[some, None] == pids, torch.nan)
            rows, items = (scores >= farthest[some]).nonzero(as_tuple=True)
            yield _found(rows + start, items, scores[rows, items], bounds, candidates.columns)

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

    def totals(self, leaps: torch.Tensor, first: torch.Tensor, owners: torch.Tensor) -> torch.Tensor:
        """See `Counter`."""
        return totals(leaps, first, owners)


def totals(leaps: torch.Tensor, first: torch.Tensor, owners: torch.Tensor) -> torch.Tensor:
    """How many items are ahead of each positive, i32[p, width]: its leaps and those of the nearer ones of its query.

    Args:
        leaps: i32[p, width]; used up.
        first: i64[b + 1], where the positives of each query begin.
        owners: i64[p], the query of each.

    Example:
        >>> leaps = torch.tensor([[5], [2], [1]], dtype=torch.int32)
        >>> totals(leaps, torch.tensor([0, 2, 3]), torch.tensor([0, 0, 1])).tolist()
        [[7], [2], [1]]
    """
    upto = leaps.cumsum(dim=0, dtype=torch.int32)  # may wrap around; the differences are right all the same
    leaps -= upto
    found = upto[first[1:][owners] - 1]
    found += leaps
    return found


def _found(
    rows: torch.Tensor, items: torch.Tensor, scores: torch.Tensor, bounds: Bounds, columns: torch.Tensor
) -> Doubts:
    """Count some items, and say which of them are in doubt."""
    owners = torch.repeat_interleave(bounds.first.diff())
    keys = _keys(rows, scores)
    surely = torch.searchsorted(_keys(owners, bounds.high), keys)
    counted = surely > bounds.first[rows]
    leaps = (surely[counted] - 1) * bounds.width + columns[items[counted]]
    bounds.leaps.index_add_(0, leaps, torch.ones_like(leaps, dtype=torch.int32))
    low = _keys(owners, bounds.low)
    low = torch.cat([low, low.new_full((1,), _LAST)])
    doubtful = (low[surely] <= keys).nonzero()[:, 0]
    last = torch.searchsorted(low, keys[doubtful], right=True)
    return Doubts(rows=rows[doubtful], items=items[doubtful], first=surely[doubtful], last=last)


def _keys(rows: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """i64[n] that sort as the pairs (row, score) do, for scores f32[n] without NaN."""
    bits = (scores + 0.0).view(torch.int32)  # adding 0 makes one zero of the two
    return (rows << 32) + torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
