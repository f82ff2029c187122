"""Exact nearest neighbours among query and gallery rows together, with nothing of the size of all pairs.

Distances are squared Euclidean, of rows divided by their norms where the protocol says so. Tiles of approximate
distances choose a few more rows than are wanted, and the definition puts these in order. Where the error of the tiles
might have left out a neighbour, the row is searched through again by tiles in float64; where these do not tell either,
pair by pair, and the definition decides between what is close. So the lists are the same on every machine. Rows at
equal distance are listed in their own order, queries first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from crbench.ranking.backends.interface import ApproximateDistances
from crbench.ranking.filter import Comparison
from crbench.ranking.gemm.precision import for_tiles
from crbench.ranking.interface import RankInputs

_SPARE = 8
"""Rows chosen beyond those that are wanted."""

_FARTHEST = 4
"""Rows among which the farthest is looked for."""

_ROWS = 1024
"""Rows per tile."""

_TILE = 1 << 22
"""Elements of a tile, and of the rows that it is made of."""

Side = Literal[0, 1]
"""0 = the queries, 1 = the gallery."""


@attrs.frozen(eq=False)
class Run:
    """Consecutive rows of the pool that lie on one side.

    Attributes:
        pooled: i64[m], their numbers in the pool.
        own: i64[m], their rows on that side.
    """

    side: Side
    pooled: torch.Tensor
    own: torch.Tensor


class PooledRows:
    """Query rows and some gallery rows as one list, the queries first; nothing is copied.

    Args:
        gallery: intp[g], rows of the gallery that take part.
    """

    def __init__(self, inputs: RankInputs, gallery: NDArray[np.intp]) -> None:
        whole = Comparison.of(inputs)
        sides = whole.query, whole.gallery
        self._comparisons = {
            (a, b): Comparison(sides[a], sides[b], whole.centroids, dot=False, backend=whole.backend)
            for a in (0, 1)
            for b in (0, 1)
        }
        self._precision = for_tiles(inputs)
        self.device = inputs.device
        self.queries = len(inputs.query)
        self.columns: int = inputs.query.x.shape[1]
        rows = torch.from_numpy(gallery.astype(np.int64)).to(self.device)
        self._own = torch.cat([torch.arange(self.queries, device=self.device), rows])

    def __len__(self) -> int:
        return len(self._own)

    def runs(self, size: int, start: int = 0) -> Iterator[Run]:
        """The rows from `start` on, in runs of at most `size` rows of one side."""
        for side, first, end in ((0, start, self.queries), (1, max(start, self.queries), len(self))):
            for at in range(first, end, size):
                pooled = torch.arange(at, min(at + size, end), device=self.device)
                yield Run(side, pooled, self._own[pooled])  # type: ignore[arg-type]

    def tile(self, rows: Run, others: Run) -> ApproximateDistances:
        """Squared distances f32[r, o] of the operands, with one error per row f64[r, 1]; see `Comparison.tile`."""
        return self._comparisons[rows.side, others.side].tile(rows.own, others.own, self.columns, self._precision)

    def double_tile(self, rows: Run, others: Run) -> ApproximateDistances:
        """Distances f64[r, o], with one error per row f64[r, 1]; see `Comparison.approximate_tile`."""
        return self._comparisons[rows.side, others.side].approximate_tile(rows.own, others.own, self.columns)

    def tile_of_queries(self, queries: NDArray[np.intp], others: Run) -> ApproximateDistances:
        """`tile` for some queries intp[r]."""
        rows = torch.from_numpy(queries.astype(np.int64)).to(self.device)
        return self.tile(Run(0, rows, rows), others)

    def approximate(self, rows: torch.Tensor, others: torch.Tensor) -> ApproximateDistances:
        """Distances f64[m] of pairs of rows of the pool, i64[m] each, with their errors."""
        distances, errors = (torch.empty(len(rows), dtype=torch.float64, device=self.device) for _ in range(2))
        for comparison, at in self._by_sides(rows, others):
            found = comparison.approximate(self._own[rows[at]], self._own[others[at]], self.columns)
            distances[at], errors[at] = found.distances, found.errors
        return ApproximateDistances(distances, errors)

    def distances(self, rows: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        """f64[m], the definition for each pair of rows of the pool, i64[m] each."""
        found = torch.empty(len(rows), dtype=torch.float64, device=self.device)
        for comparison, at in self._by_sides(rows, others):
            found[at] = comparison.exact(self._own[rows[at]], self._own[others[at]], self.columns)
        return found

    def of_squared(self, found: ApproximateDistances) -> ApproximateDistances:
        """Distances of the rows, from those of a `tile`."""
        return self._comparisons[0, 0].of_squared(found)

    def tile_size(self) -> int:
        """Rows of a tile's other side that fit into the budget of a tile."""
        return max(1, _TILE // max(self.columns, _ROWS))

    def _by_sides(self, rows: torch.Tensor, others: torch.Tensor) -> Iterator[tuple[Comparison, torch.Tensor]]:
        """Each comparison of two sides, with the places of the pairs that it serves."""
        sides = 2 * (rows >= self.queries).long() + (others >= self.queries).long()
        for (a, b), comparison in self._comparisons.items():
            at = (sides == 2 * a + b).nonzero()[:, 0]
            if len(at):
                yield comparison, at


@attrs.frozen(eq=False)
class Neighbours:
    """The nearest rows of each row, itself included.

    Attributes:
        index: intp[n, k], nearest first; a row is its own nearest, but for copies of it in rows before it.
        distances: f64[n, k].
        farthest: f64[n], the distance of the farthest row.
    """

    index: NDArray[np.intp]
    distances: NDArray[np.float64]
    farthest: NDArray[np.float64]


def neighbours(pool: PooledRows, count: int, advance: Callable[[int], object]) -> Neighbours:
    """The `count` nearest rows of each row, or all rows where there are fewer.

    Args:
        advance: told how many rows were done.
    """
    total = len(pool)
    count = min(count, total)
    index = np.empty((total, count), dtype=np.intp)
    nearest = np.empty((total, count))
    farthest = np.empty(total)
    for run in pool.runs(_ROWS):
        chosen, distances, far, certain = _searched(pool, run, count, pool.tile, pool.of_squared)
        again = (~certain).nonzero()[:, 0]
        if len(again):
            rest = Run(run.side, run.pooled[again], run.own[again])
            second = _searched(pool, rest, count, pool.double_tile, lambda found: found)
            chosen[again], distances[again], far[again], certain[again] = second
        for place in (~certain).nonzero()[:, 0].tolist():
            chosen[place], distances[place], far[place] = _by_pairs(pool, run.pooled[place], count)
        some = run.pooled.cpu().numpy()
        index[some], nearest[some], farthest[some] = (part.cpu().numpy() for part in (chosen, distances, far))
        advance(len(some))
    return Neighbours(index=index, distances=nearest, farthest=farthest)


def _searched(
    pool: PooledRows,
    run: Run,
    count: int,
    tile_of: Callable[[Run, Run], ApproximateDistances],
    as_distances: Callable[[ApproximateDistances], ApproximateDistances],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Neighbours i64[r, k], their distances f64[r, k], the farthest distance f64[r], and bool[r]: certainly right.

    Args:
        tile_of: gives values of the pairs of two runs that rise with their distance, and one error per row.
        as_distances: makes distances by the definition of such values f64[r].
    """
    near, far = _Best(count + _SPARE, largest=False), _Best(_FARTHEST, largest=True)
    error = torch.zeros(len(run.own), dtype=torch.float64, device=pool.device)
    for others in pool.runs(pool.tile_size()):
        tile = tile_of(run, others)
        near.add(tile.distances, others.pooled)
        far.add(tile.distances, others.pooled)
        error = torch.maximum(error, tile.errors[:, 0])
    index, distances = _in_order(pool, run.pooled, near.index)
    farthest = _pairwise(pool, run.pooled, far.index).max(dim=1).values
    certain = torch.ones(len(run.own), dtype=torch.bool, device=pool.device)
    if near.index.shape[1] < len(pool):
        last = as_distances(ApproximateDistances(near.distances[:, -1], error))
        certain &= distances[:, count - 1] < last.distances - last.errors
    if far.index.shape[1] < len(pool):
        last = as_distances(ApproximateDistances(far.distances[:, -1], error))
        certain &= farthest >= last.distances + last.errors
    return index[:, :count], distances[:, :count], farthest, certain


class _Best:
    """The nearest or the farthest rows so far, by approximate distances."""

    def __init__(self, count: int, *, largest: bool) -> None:
        self._count = count
        self._largest = largest
        self.distances = torch.empty(0)
        self.index = torch.empty(0, dtype=torch.int64)

    def add(self, tile: torch.Tensor, others: torch.Tensor) -> None:
        """Take a tile f32[r, t], or f64, of the rows i64[t]."""
        distances, place = tile.topk(min(self._count, tile.shape[1]), dim=1, largest=self._largest)
        index = others[place]
        if len(self.index):
            distances, index = torch.cat([self.distances, distances], dim=1), torch.cat([self.index, index], dim=1)
            distances, place = distances.topk(min(self._count, distances.shape[1]), dim=1, largest=self._largest)
            index = index.gather(1, place)
        self.distances, self.index = distances, index


def _in_order(pool: PooledRows, rows: torch.Tensor, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Candidates i64[r, c] by distance, then by row; and their distances f64[r, c]."""
    index = index.sort(dim=1).values
    found, order = _pairwise(pool, rows, index).sort(dim=1, stable=True)
    return index.gather(1, order), found


def _pairwise(pool: PooledRows, rows: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """f64[r, c], distances of each row to its own candidates i64[r, c], by the definition."""
    found = pool.distances(rows.repeat_interleave(index.shape[1]), index.reshape(-1))
    return found.view(index.shape)


def _by_pairs(pool: PooledRows, row: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Neighbours i64[k] of one row, their distances f64[k] and the farthest distance, by float64 products of pairs."""
    everything = torch.arange(len(pool), device=pool.device)
    found = pool.approximate(row.expand(len(pool)), everything)
    lower, upper = found.distances - found.errors, found.distances + found.errors
    close = (lower <= upper.kthvalue(count).values).nonzero()[:, 0]
    distances, order = pool.distances(row.expand(len(close)), close).sort(stable=True)
    far = (upper >= lower.max()).nonzero()[:, 0]
    farthest = pool.distances(row.expand(len(far)), far).max()
    return close[order[:count]], distances[:count], farthest
