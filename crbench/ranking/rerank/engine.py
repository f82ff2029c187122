"""The engine for re-ranked distances: counts what is ahead of positives, like the others, and as exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from crbench.api.context import Progress, no_progress
from crbench.errors import EvaluationError
from crbench.protocol import Reranking
from crbench.ranking.interface import RankCounts, RankInputs, RankTask, Settings
from crbench.ranking.rerank.k_reciprocal import Encoding, encoded
from crbench.ranking.rerank.neighbours import PooledRows

_SLACK = 2.0**-48
"""More than the roundings of the final formula, whose values are at most 1."""


@attrs.frozen(eq=False)
class _Row:
    """A query's final distances to all points of the gallery.

    Attributes:
        jaccard: f64[g].
        near: f64[g], final distances, each wrong by at most `error`.
    """

    query: int
    jaccard: NDArray[np.float64]
    near: NDArray[np.float64]
    error: float


class RerankedEngine:
    """Re-ranks the distances of all queries to the gallery images that take part; see `k_reciprocal`.

    Products are float64, and what these cannot decide is decided by the definition. The size of blocks follows the
    memory budget; the encodings come on top of it.
    """

    precision = "float64"

    def __init__(
        self,
        inputs: RankInputs,
        settings: Settings,
        how: Reranking,
        gallery: NDArray[np.intp],
        progress: Progress = no_progress,
    ) -> None:
        """Args: features, settings, parameters, intp[g] gallery rows that take part, in rising order, and progress."""
        self._inputs = inputs
        self._settings = settings
        self._how = how
        self._progress = progress
        self._pool = PooledRows(inputs, gallery)
        self._place = np.full(len(inputs.gallery), -1)
        self._place[gallery] = np.arange(len(gallery))
        if inputs.metric is not None:
            raise EvaluationError("re-ranking needs features, and a plugin's distance gives none; use rerank=none")
        lengths = np.unique(np.concatenate([inputs.query_dims, inputs.gallery_dims]))
        if len(lengths) > 1 or lengths[0] != self._pool.columns:
            raise EvaluationError("re-ranking needs rows of one length, but dims say that they differ; use rerank=none")

    def count(self, tasks: Sequence[RankTask]) -> Iterator[RankCounts]:
        """See `crbench.ranking.interface.Engine`."""
        with self._progress(len(self._pool), "neighbours", "rows") as bar:
            encoding = encoded(self._pool, self._how, bar.advance)
        asked = np.flatnonzero(np.any([task.sizes > 0 for task in tasks], axis=0))
        for row in self._rows(asked, encoding):
            for number, task in enumerate(tasks):
                if task.sizes[row.query]:
                    ahead, exact = self._ahead(task, row, encoding)
                    yield RankCounts(task=number, queries=np.array([row.query]), ahead=ahead, ambiguous=exact)

    def _rows(self, queries: NDArray[np.intp], encoding: Encoding) -> Iterator[_Row]:
        first, last = self._pool.queries, len(self._pool)
        size = max(1, self._settings.memory // (16 * (last - first)))  # of two such blocks in float64
        for start in range(0, len(queries), size):
            block = queries[start : start + size]
            rows, error = torch.from_numpy(block).to(self._pool.device), 0.0
            found = np.empty((len(block), last - first))
            for items in self._pool.tiles(first, last):
                tile, error_bound = self._pool.products(rows, items)
                found[:, items[0].item() - first : items[-1].item() - first + 1] = tile.cpu().numpy()
                error = max(error, error_bound)
            for query, distances in zip(block.tolist(), found, strict=True):
                jaccard = encoding.jaccard(query)
                near = self._final(jaccard, distances, encoding.largest[query])
                yield _Row(query, jaccard, near, self._how.weight * error / encoding.largest[query] + _SLACK)

    def _final(
        self, jaccard: NDArray[np.float64], distances: NDArray[np.float64], largest: float
    ) -> NDArray[np.float64]:
        return jaccard * (1 - self._how.weight) + distances / largest * self._how.weight

    def _exact(self, row: _Row, encoding: Encoding, places: NDArray[np.intp]) -> NDArray[np.float64]:
        """f64[m], final distances to some points of the gallery, by the definition."""
        items = torch.from_numpy(places + self._pool.queries).to(self._pool.device)
        distances = self._pool.distances(torch.full_like(items, row.query), items).cpu().numpy()
        return self._final(row.jaccard[places], distances, encoding.largest[row.query])

    def _ahead(self, task: RankTask, row: _Row, encoding: Encoding) -> tuple[NDArray[np.int64], int]:
        """i64[p, width], candidates ahead of each positive; and how many the definition decided."""
        positives = self._place[task.positives[task.starts[row.query] : task.starts[row.query + 1]]]
        limits = self._exact(row, encoding, positives)
        order = np.argsort(limits, kind="stable")
        limits = limits[order]
        pids = self._inputs.gallery.rows.pids[task.candidates]
        places = self._place[task.candidates]
        near = (row.near[places] - row.error <= limits[-1]) & (pids != self._inputs.query.rows.pids[row.query])
        places, columns = places[near], task.columns[near]
        # the first positive that an item is ahead of
        side: Literal["left", "right"] = "left" if self._inputs.pessimistic else "right"
        slots = np.searchsorted(limits, row.near[places] - row.error, side=side)
        doubtful = np.flatnonzero(slots != np.searchsorted(limits, row.near[places] + row.error, side=side))
        slots[doubtful] = np.searchsorted(limits, self._exact(row, encoding, places[doubtful]), side=side)
        count_diffs = np.bincount(slots * task.width + columns, minlength=(len(limits) + 1) * task.width)
        ahead = np.empty((len(limits), task.width), dtype=np.int64)
        ahead[order] = np.cumsum(count_diffs.reshape(-1, task.width), axis=0)[:-1]
        return ahead, len(doubtful)
