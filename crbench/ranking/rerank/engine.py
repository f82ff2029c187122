"""The engine for re-ranked distances: counts what is ahead of positives, like the others, and as exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from crbench.api.context import Progress
from crbench.errors import EvaluationError
from crbench.ranking.backends.interface import ApproximateDistances
from crbench.ranking.filter import place_among
from crbench.ranking.interface import RankCounts, RankInputs, RankTask, Settings
from crbench.ranking.rerank.k_reciprocal import Encoding, KReciprocal, encoded
from crbench.ranking.rerank.neighbours import PooledRows

_SLACK = 2.0**-48
"""More than the roundings of the final formula, whose values are at most 1."""

_ROW_BYTES = 32
"""Per gallery row and query of a block: an approximate distance, and what is made of it."""


@attrs.frozen(eq=False)
class _Query:
    """A query against all gallery rows of the pool.

    Attributes:
        row: its number, in the queries and in the pool.
        distances: f64[g], approximate ones, not re-ranked, each wrong by at most `error`.
        jaccard: f64[g].
        largest: its largest distance, by which all are divided.
        weight: lambda.
    """

    row: int
    distances: torch.Tensor
    error: float
    jaccard: torch.Tensor
    largest: float
    weight: float

    def final(self, places: torch.Tensor, found: ApproximateDistances) -> ApproximateDistances:
        """Final distances to some gallery rows of the pool, from their distances."""
        final = self.jaccard[places] * (1 - self.weight) + found.distances / self.largest * self.weight
        return ApproximateDistances(final, found.errors * (self.weight / self.largest))


class RerankedEngine:
    """Re-ranks the distances of all queries to the gallery images that take part; see `k_reciprocal`.

    Products are float32; what they leave uncertain is decided pair by pair in float64, then by the definition. The size
    of blocks follows the memory budget; the encodings come on top of it.
    """

    precision = "fp32"

    def __init__(
        self,
        inputs: RankInputs,
        settings: Settings,
        how: KReciprocal,
        gallery: NDArray[np.intp],
        progress: Progress,
    ) -> None:
        """Args: features, settings, parameters, intp[g] gallery rows that take part, in rising order, and progress."""
        if inputs.distances is not None:
            raise EvaluationError("re-ranking needs features, and a plugin's distance gives none; use rerank=none")
        lengths = np.unique(np.concatenate([inputs.query.dims, inputs.gallery.dims]))
        if len(lengths) > 1 or lengths[0] != inputs.query.x.shape[1]:
            raise EvaluationError("re-ranking needs rows of one length, but dims say that they differ; use rerank=none")
        self._inputs = inputs
        self._settings = settings
        self._how = how
        self._progress = progress
        self._pool = PooledRows(inputs, gallery)
        self._place = np.full(len(inputs.gallery), -1)
        self._place[gallery] = np.arange(len(gallery))

    def count(self, tasks: Sequence[RankTask]) -> Iterator[RankCounts]:
        """See `crbench.ranking.interface.Engine`."""
        answered = np.flatnonzero(np.any([task.sizes > 0 for task in tasks], axis=0))
        for query in self._queries(answered, self._encoding):
            for number, task in enumerate(tasks):
                if task.sizes[query.row]:
                    ahead, uncertain = self._ahead(task, query)
                    yield RankCounts(task=number, queries=np.array([query.row]), ahead=ahead, ambiguous=uncertain)

    @cached_property
    def _encoding(self) -> Encoding:
        """Of all rows; the same whatever is asked."""
        with self._progress(len(self._pool), "neighbours", "rows") as bar:
            return encoded(self._pool, self._how, bar.advance)

    def _queries(self, rows: NDArray[np.intp], encoding: Encoding) -> Iterator[_Query]:
        pool = self._pool
        size = max(1, self._settings.memory // (_ROW_BYTES * (len(pool) - pool.queries)))
        for start in range(0, len(rows), size):
            block = rows[start : start + size]
            tiles = [pool.tile_of_queries(block, items) for items in pool.runs(pool.tile_size(), pool.queries)]
            distances = torch.cat([tile.distances for tile in tiles], dim=1)
            errors = torch.stack([tile.errors[:, 0] for tile in tiles]).amax(dim=0)
            for place, row in enumerate(block.tolist()):
                found = pool.of_squared(ApproximateDistances(distances[place], errors[place]))
                yield _Query(
                    row=row,
                    distances=found.distances,
                    error=float(found.errors),
                    jaccard=torch.from_numpy(encoding.jaccard(row)).to(pool.device),
                    largest=float(encoding.largest[row]),
                    weight=self._how.weight,
                )

    def _ahead(self, task: RankTask, query: _Query) -> tuple[NDArray[np.int64], int]:
        """i64[p, width], candidates ahead of each positive; and how many the product left uncertain."""
        positives = self._place[task.positives[task.starts[query.row] : task.starts[query.row + 1]]]
        limits, order = self._exact(query, self._on_device(positives)).distances.sort(stable=True)
        other = self._inputs.gallery.labels[task.candidates] != self._inputs.query.labels[query.row]
        places, columns = self._place[task.candidates[other]], task.columns[other]
        rough = self._rough(query, self._on_device(places))
        near = (rough.distances - rough.errors <= limits[-1]).nonzero()[:, 0]
        index = self._on_device(places)[near]
        # An item is ahead of the positives from its slot on.
        slots, uncertain = place_among(
            limits,
            [
                lambda some: self._rough(query, index[some]),
                lambda some: self._by_pairs(query, index[some]),
                lambda some: self._exact(query, index[some]),
            ],
            len(index),
            right=not self._inputs.pessimistic,
        )
        at = slots.cpu().numpy() * task.width + columns[near.cpu().numpy()]
        count_diffs = np.bincount(at, minlength=(len(limits) + 1) * task.width)
        ahead = np.empty((len(limits), task.width), dtype=np.int64)
        ahead[order.cpu().numpy()] = np.cumsum(count_diffs.reshape(-1, task.width), axis=0)[:-1]
        return ahead, uncertain

    def _rough(self, query: _Query, places: torch.Tensor) -> ApproximateDistances:
        """Final distances to some gallery rows of the pool, from tiles."""
        distances = query.distances[places]
        found = query.final(places, ApproximateDistances(distances, torch.full_like(distances, query.error)))
        return ApproximateDistances(found.distances, found.errors + _SLACK)

    def _by_pairs(self, query: _Query, places: torch.Tensor) -> ApproximateDistances:
        """Final distances, from float64 products."""
        found = query.final(places, self._pool.approximate(*self._pairs(query, places)))
        return ApproximateDistances(found.distances, found.errors + _SLACK)

    def _exact(self, query: _Query, places: torch.Tensor) -> ApproximateDistances:
        """Final distances by the definition."""
        distances = self._pool.distances(*self._pairs(query, places))
        return query.final(places, ApproximateDistances(distances, torch.zeros_like(distances)))

    def _pairs(self, query: _Query, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        items = places + self._pool.queries
        return torch.full_like(items, query.row), items

    def _on_device(self, index: NDArray[np.integer]) -> torch.Tensor:
        return torch.from_numpy(index.astype(np.int64)).to(self._pool.device)
