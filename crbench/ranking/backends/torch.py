"""The counter of torch operations, and what other counters take from it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import torch

from crbench.ranking.backends.interface import WORK, Askers, Bounds, Candidates, Doubts, Near, Tile
from crbench.ranking.gemm.products import floats
from crbench.ranking.threads import Room

_CHUNK = 1 << 20
"""Elements per float64 work array."""

_ON_CUDA = 4
"""Times `WORK` at once on CUDA, where an operation takes microseconds however small it is."""

_LAST = torch.iinfo(torch.int64).max


class Operations:
    """What counters do with torch operations that have no loops of their own for it."""

    at_once = sys.maxsize

    def decide(
        self, askers: Askers, doubts: Doubts, near: Near, limits: Near, columns: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `crbench.ranking.backends.interface.Counter`."""
        counts = doubts.last - doubts.first
        upto = counts.cumsum(0)
        place = torch.arange(int(upto[-1]), device=upto.device)
        pair = torch.searchsorted(upto, place, right=True)  # much faster than repeat_interleave
        positive = place + (doubts.first - upto + counts)[pair]
        distance, limit = near.distances[pair], limits.distances[positive]
        error = near.errors[pair] + limits.errors[positive]
        nearer = distance < limit - error
        left = (~nearer & ~(distance > limit + error)).nonzero()[:, 0]
        add(askers, doubts, pair[nearer], positive[nearer], columns)
        return pair[left], positive[left]

    def add_up(self, askers: Askers) -> None:
        """See `crbench.ranking.backends.interface.Counter`.

        Example:
            >>> leaps = torch.tensor([5, 2, 1], dtype=torch.int32)
            >>> one, first = torch.tensor([1, 1]), torch.tensor([0, 2, 3])
            >>> askers = Askers(tasks=one, rows=one, pids=one, first=first, slots=first[:-1], widths=one, leaps=leaps)
            >>> Operations().add_up(askers)
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


class TorchCounter(Operations):
    """Counts with torch operations."""

    def count(self, tile: Tile, askers: Askers, bounds: Bounds, candidates: Candidates) -> Iterator[Doubts]:
        """See `crbench.ranking.backends.interface.Counter`."""
        products = floats(tile.products(slice(0, len(tile.rows)), Room()))  # now, as a device is to have work in store
        return self._compared(products, tile, askers, bounds, candidates)

    def _compared(
        self, products: torch.Tensor, tile: Tile, askers: Askers, bounds: Bounds, candidates: Candidates
    ) -> Iterator[Doubts]:
        terms = tile.terms + candidates.masks
        farthest = bounds.low[askers.first[:-1]]
        step = max(1, (WORK * _ON_CUDA if terms.is_cuda else WORK) // len(tile.terms))
        for start in range(0, len(farthest), step):
            some = slice(start, start + step)
            rows = askers.rows[some]
            scores = products[rows] * (tile.rows[rows, None] * tile.factors) + terms[askers.tasks[some]]
            scores.masked_fill_(askers.pids[some, None] == tile.pids, torch.nan)
            mine, items = (scores >= farthest[some, None]).nonzero(as_tuple=True)
            yield _found(mine + start, items, scores[mine, items], askers, bounds, candidates.columns)

    def dots(
        self, a: torch.Tensor, b: torch.Tensor, rows: torch.Tensor, items: torch.Tensor, columns: int
    ) -> torch.Tensor:
        """See `crbench.ranking.backends.interface.Counter`."""
        found = torch.empty(len(rows), dtype=torch.float64, device=a.device)
        step = max(1, _CHUNK // columns)
        for start in range(0, len(rows), step):
            some = slice(start, start + step)
            found[some] = (a[:, :columns][rows[some]].double() * b[:, :columns][items[some]].double()).sum(dim=1)
        return found


def add(askers: Askers, doubts: Doubts, pairs: torch.Tensor, positives: torch.Tensor, columns: torch.Tensor) -> None:
    """Add to ``askers.leaps`` items that are nearer than positives; i64[m] each.

    Args:
        pairs: which doubts.
        columns: i64[t, g], see `Candidates`.
    """
    asker, item = doubts.askers[pairs], doubts.items[pairs]
    before, width = positives - askers.first[asker], askers.widths[asker]
    slots = askers.slots[asker] + before * width + columns[askers.tasks[asker], item]
    ones = torch.ones_like(slots, dtype=torch.int32)
    askers.leaps.index_add_(0, slots, ones)
    # what is ahead of a positive counts for the farther ones too, which are decided one by one
    farther = before > 0
    askers.leaps.index_add_(0, (slots - width)[farther], -ones[farther])


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
