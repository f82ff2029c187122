"""Exact nearest neighbours among query and gallery rows together, with nothing of the size of all pairs.

Distances are squared Euclidean, of rows divided by their norms where the protocol says so. Tiles of float64 products
choose a few more rows than are wanted, these are put in order by the definition in `crbench.ranking.distance`, and
a row is searched through by the definition alone where the products' error might have left out a neighbour. So the
lists are the same on every machine; rows at equal distance are listed in their own order, queries first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from crbench.ranking.distance import distances
from crbench.ranking.exact import ExactRows, chunks, squared_distances
from crbench.ranking.interface import RankInputs

_SPARE = 8
"""Rows chosen beyond those that are wanted."""

_FARTHEST = 4
"""Rows among which the farthest is looked for."""

_ROWS = 1024
"""Rows per tile."""

_TILE = 1 << 22
"""Elements of a tile, and of the rows that it is made of."""


class PooledRows:
    """Query rows and some gallery rows as one list, the queries first.

    Args:
        gallery: intp[g], rows of the gallery that take part.
    """

    def __init__(self, inputs: RankInputs, gallery: NDArray[np.intp]) -> None:
        self._query = ExactRows(inputs.query, unit=inputs.unit)
        self._gallery = ExactRows(inputs.gallery, unit=inputs.unit)
        self._rows = torch.from_numpy(gallery.astype(np.int64)).to(inputs.query.x.device)
        self.queries = len(inputs.query)
        self.columns: int = inputs.query.x.shape[1]
        self.device: torch.device = inputs.query.x.device

    def __len__(self) -> int:
        return self.queries + len(self._rows)

    def exact(self, index: torch.Tensor) -> torch.Tensor:
        """f64[m, D], rows of the definition at i64[m]."""
        asked = index < self.queries
        found = torch.empty(len(index), self.columns, dtype=torch.float64, device=self.device)
        found[asked] = self._query.exact(index[asked], self.columns)
        found[~asked] = self._gallery.exact(self._rows[index[~asked] - self.queries], self.columns)
        return found

    def distances(self, rows: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        """f64[m], the definition for each pair of rows, i64[m] each."""
        found = torch.empty(len(rows), dtype=torch.float64, device=self.device)
        for part in chunks(len(rows), self.columns):
            found[part] = distances(self.exact(rows[part]), self.exact(others[part]), dot=False)
        return found

    def products(self, rows: torch.Tensor, others: torch.Tensor) -> tuple[torch.Tensor, float]:
        """f64[r, o], distances by a matrix product, and a bound of their error."""
        return squared_distances(self.exact(rows), self.exact(others), dot=False)

    def tiles(self, start: int, stop: int) -> Iterator[torch.Tensor]:
        """i64[t], rows from `start` to `stop` in portions that are small enough for a tile."""
        size = max(1, _TILE // max(self.columns, _ROWS))
        for first in range(start, stop, size):
            yield torch.arange(first, min(first + size, stop), device=self.device)


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
    near = np.empty((total, count))
    far = np.empty(total)
    for start in range(0, total, _ROWS):
        rows = torch.arange(start, min(start + _ROWS, total), device=pool.device)
        chosen, distance, farthest, sure = _searched(pool, rows, count)
        for place in (~sure).nonzero()[:, 0].tolist():
            chosen[place], distance[place], farthest[place] = _by_definition(pool, rows[place], count)
        some = slice(start, start + len(rows))
        index[some], near[some], far[some] = (part.cpu().numpy() for part in (chosen, distance, farthest))
        advance(len(rows))
    return Neighbours(index=index, distances=near, farthest=far)


def _searched(
    pool: PooledRows, rows: torch.Tensor, count: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Neighbours i64[r, k], their distances f64[r, k], the farthest distance f64[r], and bool[r]: surely right."""
    near, far, error_bound = _Best(count + _SPARE, largest=False), _Best(_FARTHEST, largest=True), 0.0
    for others in pool.tiles(0, len(pool)):
        tile, error = pool.products(rows, others)
        near.add(tile, others)
        far.add(tile, others)
        error_bound = max(error_bound, error)
    index, distance = _in_order(pool, rows, near.index)
    farthest = _pairwise(pool, rows, far.index).max(dim=1).values
    sure = torch.ones(len(rows), dtype=torch.bool, device=pool.device)
    if near.index.shape[1] < len(pool):
        sure &= distance[:, count - 1] < near.scores[:, -1] - error_bound
    if far.index.shape[1] < len(pool):
        sure &= farthest >= far.scores[:, -1] + error_bound
    return index[:, :count], distance[:, :count], farthest, sure


class _Best:
    """The nearest or the farthest rows so far, by the products."""

    def __init__(self, count: int, *, largest: bool) -> None:
        self._count = count
        self._largest = largest
        self.scores = torch.empty(0)
        self.index = torch.empty(0, dtype=torch.int64)

    def add(self, tile: torch.Tensor, others: torch.Tensor) -> None:
        """Take a tile f64[r, t] of the rows i64[t]."""
        scores, place = tile.topk(min(self._count, tile.shape[1]), dim=1, largest=self._largest)
        index = others[place]
        if len(self.index):
            scores, index = torch.cat([self.scores, scores], dim=1), torch.cat([self.index, index], dim=1)
            scores, place = scores.topk(min(self._count, scores.shape[1]), dim=1, largest=self._largest)
            index = index.gather(1, place)
        self.scores, self.index = scores, index


def _in_order(pool: PooledRows, rows: torch.Tensor, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Candidates i64[r, c] by distance, then by row; and their distances f64[r, c]."""
    index = index.sort(dim=1).values
    found, order = _pairwise(pool, rows, index).sort(dim=1, stable=True)
    return index.gather(1, order), found


def _pairwise(pool: PooledRows, rows: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """f64[r, c], distances of each row to its own candidates i64[r, c], by the definition."""
    found = torch.empty(index.shape, dtype=torch.float64, device=pool.device)
    for part in chunks(len(rows), index.shape[1] * pool.columns):
        candidates = pool.exact(index[part].reshape(-1)).view(-1, index.shape[1], pool.columns)
        found[part] = distances(pool.exact(rows[part])[:, None], candidates, dot=False)
    return found


def _by_definition(pool: PooledRows, row: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Neighbours i64[k], their distances f64[k] and the farthest distance of one row, every pair by the definition."""
    others = torch.arange(len(pool), device=pool.device)
    found, order = pool.distances(row.expand(len(pool)), others).sort(stable=True)
    return order[:count], found[:count], found[-1]
