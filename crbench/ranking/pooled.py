"""Counts over the pairs of all queries together: how many false pairs are at most as far as each true pair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from crbench.ranking.backends.interface import ApproximateDistances
from crbench.ranking.filter import Comparison, place_among
from crbench.ranking.gemm.precision import for_tiles
from crbench.ranking.interface import RankInputs
from crbench.ranking.positives import on_device

_PAIRS = 1 << 18
"""Pairs of a tile that are looked at together; what is kept of one takes some 100 bytes."""

QUERIES = 1024
ITEMS = 4096
"""Most queries and items of a tile."""

Groups = Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]]
"""Query rows with the gallery rows that they are compared with; each query occurs once."""


def false_pairs(inputs: RankInputs, groups: Groups) -> int:
    """The number of false pairs: a query and a gallery item of different labels."""
    total = 0
    for queries, items in groups:
        labels, counts = np.unique(inputs.gallery.labels[items], return_counts=True)
        same = dict(zip(labels.tolist(), counts.tolist(), strict=True))
        total += sum(len(items) - same.get(label, 0) for label in inputs.query.labels[queries].tolist())
    return total


def falsely_accepted(
    inputs: RankInputs, groups: Groups, true: tuple[NDArray[np.intp], NDArray[np.intp]], *, limit: int
) -> NDArray[np.int64]:
    """For each true pair, from the nearest to the farthest, how many false pairs are at most as far.

    Args:
        true: query rows and gallery rows of the true pairs, intp[P] each.
        limit: counts beyond it are not exact, so that far pairs need not be compared.

    Returns:
        i64[P], rising.
    """
    counting = _Counting(inputs, true, limit)
    for queries, items in groups:
        for rows, query_dims in _by_dims(queries, inputs.query.dims):
            for columns, gallery_dims in _by_dims(items, inputs.gallery.dims):
                prefix = min(query_dims, gallery_dims)
                for start in range(0, len(rows), QUERIES):
                    for first in range(0, len(columns), ITEMS):
                        counting.add(rows[start : start + QUERIES], columns[first : first + ITEMS], prefix)
    return counting.total()


class _Counting:
    """Counts false pairs tile by tile, each at the nearest true pair that is at least as far."""

    def __init__(self, inputs: RankInputs, true: tuple[NDArray[np.intp], NDArray[np.intp]], limit: int) -> None:
        self._inputs = inputs
        self._comparison = Comparison.of(inputs)
        self._precision = for_tiles(inputs)
        self._limit = limit
        self._limits = self._exact(*true).sort().values
        # The last slot counts what is farther than all true pairs.
        self._found = torch.zeros(len(self._limits) + 1, dtype=torch.int64, device=inputs.device)

    def total(self) -> NDArray[np.int64]:
        """i64[P], the counts so far."""
        counts: NDArray[np.int64] = self._found[:-1].cumsum(dim=0).cpu().numpy()
        return counts

    def add(self, queries: NDArray[np.intp], items: NDArray[np.intp], prefix: int) -> None:
        """Count the false pairs of a tile."""
        useful = self._useful(self._found)
        if useful == 0:
            return
        rows, columns = on_device(queries, self._inputs.device), on_device(items, self._inputs.device)
        tile = self._comparison.tile(rows, columns, prefix, self._precision)
        labels = on_device(self._inputs.query.labels[queries], self._inputs.device)
        others = labels[:, None] != on_device(self._inputs.gallery.labels[items], self._inputs.device)
        farthest = self._comparison.squared(self._limits[useful - 1])
        pairs = (others & (tile.distances - tile.errors <= farthest)).nonzero()
        for some in torch.split(pairs, _PAIRS):
            self._place(tile, rows, columns, prefix, some)

    def _place(
        self, tile: ApproximateDistances, rows: torch.Tensor, columns: torch.Tensor, prefix: int, pairs: torch.Tensor
    ) -> None:
        """Count false pairs, given by their places i64[m, 2] in a tile of these rows and columns."""
        useful = self._useful(self._found)
        rough = self._at(tile, pairs)
        # Pairs that a limit certainly accepts are counted first. They may already show that it accepts too many; then
        # it keeps these counts, and pairs that only such limits might accept need not be decided.
        certain = torch.searchsorted(self._limits[:useful], rough.distances + rough.errors)
        counts, before = torch.bincount(certain, minlength=len(self._found)), useful
        useful = self._useful(self._found + counts)
        self._found[useful:before] += counts[useful:before]
        if useful == 0:
            return
        pairs = pairs[rough.distances - rough.errors <= self._limits[useful - 1]]
        query_rows, gallery_rows = rows[pairs[:, 0]], columns[pairs[:, 1]]
        slots, _ = place_among(
            self._limits[:useful],
            [
                lambda some: self._at(tile, pairs[some]),
                lambda some: self._comparison.approximate(query_rows[some], gallery_rows[some], prefix),
                lambda some: _without_error(self._comparison.exact(query_rows[some], gallery_rows[some], prefix)),
            ],
            len(pairs),
            right=False,
        )
        self._found[:useful] += torch.bincount(slots, minlength=useful + 1)[:useful]

    def _at(self, tile: ApproximateDistances, pairs: torch.Tensor) -> ApproximateDistances:
        """Distances f64[m] at places i64[m, 2] of a tile, with their errors."""
        rows, columns = pairs[:, 0], pairs[:, 1]
        found = ApproximateDistances(tile.distances[rows, columns], tile.errors[rows, 0])
        return self._comparison.of_squared(found)

    def _useful(self, found: torch.Tensor) -> int:
        """How many limits, from the nearest on, accept at most `limit` false pairs, by counts per slot i64[P + 1]."""
        total = found[:-1].cumsum(dim=0)
        return int(torch.searchsorted(total, torch.tensor(self._limit, device=total.device), right=True))

    def _exact(self, queries: NDArray[np.intp], items: NDArray[np.intp]) -> torch.Tensor:
        """f64[P], distances of pairs by the definition."""
        prefixes = np.minimum(self._inputs.query.dims[queries], self._inputs.gallery.dims[items])
        found = torch.empty(len(queries), dtype=torch.float64, device=self._inputs.device)
        for prefix in np.unique(prefixes).tolist():
            same = np.flatnonzero(prefixes == prefix)
            query_rows, gallery_rows = (on_device(rows[same], self._inputs.device) for rows in (queries, items))
            found[on_device(same, self._inputs.device)] = self._comparison.exact(query_rows, gallery_rows, prefix)
        return found


def _without_error(distances: torch.Tensor) -> ApproximateDistances:
    """Distances that are known without error."""
    return ApproximateDistances(distances, torch.zeros_like(distances))


def _by_dims(rows: NDArray[np.intp], dims: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.intp], int]]:
    """Rows in groups of equal dims, each with its dims."""
    for length in np.unique(dims[rows]).tolist():
        yield rows[dims[rows] == length], length
