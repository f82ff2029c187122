"""The reference engine: the definition, one query at a time, float64 throughout. Slow on purpose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from crbench.ranking.distance import distances, unit
from crbench.ranking.interface import RankCounts, RankInputs, RankTask, Settings
from crbench.ranking.threads import Workers


class ReferenceEngine:
    """The definition as a loop; every other engine gives the same integers."""

    precision = "float64"

    def __init__(self, inputs: RankInputs, settings: Settings) -> None:
        self._inputs = inputs
        self._query = inputs.query.x.cpu().numpy().astype(np.float64)
        self._gallery = inputs.gallery.x.cpu().numpy().astype(np.float64)
        apart = inputs.positives
        self._positives = None if apart is None else apart.x.cpu().numpy().astype(np.float64)

    def count(self, tasks: Sequence[RankTask]) -> Iterator[RankCounts]:
        """See `crbench.ranking.interface.Engine`."""
        for query, row in self.rows():
            for number, task in enumerate(tasks):
                positives = task.positives[task.starts[query] : task.starts[query + 1]]
                if len(positives):
                    limits = self._limits(query, row, positives)
                    ahead = [self._ahead(task, query, row, limit) for limit in limits]
                    yield RankCounts(task=number, queries=np.array([query]), ahead=np.array(ahead))

    def rows(self) -> Iterator[tuple[int, NDArray[np.float64]]]:
        """Each query with its distances to the whole gallery."""
        if self._inputs.distances is None:
            for query in range(len(self._query)):
                yield query, self._distances(query, self._gallery, self._inputs.gallery.dims)
        else:
            for queries, block in self._inputs.distances(Workers(1)):
                yield from zip(queries.tolist(), block.double().cpu().numpy(), strict=True)

    def _limits(self, query: int, row: NDArray[np.float64], positives: NDArray[np.intp]) -> NDArray[np.float64]:
        """f64[p], how far the positives of a query are, of which `row` are the distances to the gallery."""
        apart = self._inputs.positives
        if apart is None or self._positives is None:
            return row[positives]
        return self._distances(query, self._positives[positives], apart.dims[positives])

    def _distances(self, query: int, rows: NDArray[np.float64], dims: NDArray[np.int64]) -> NDArray[np.float64]:
        """f64[n], of a query to rows f64[n, D], of which so many columns count."""
        found = np.empty(len(rows))
        prefixes = np.minimum(self._inputs.query.dims[query], dims)
        for prefix in np.unique(prefixes):
            q, g = self._query[query, :prefix], rows[prefixes == prefix, :prefix]
            if self._inputs.unit:
                q, g = unit(q), unit(g)
            found[prefixes == prefix] = distances(q, g, dot=self._inputs.dot)
        return found

    def _ahead(self, task: RankTask, query: int, row: NDArray[np.float64], limit: float) -> NDArray[np.int64]:
        """i64[width], how many candidates of other labels are ahead of a positive at this distance, per column."""
        others = self._inputs.gallery.labels[task.candidates] != self._inputs.query.labels[query]
        nearer = row[task.candidates] < limit
        if self._inputs.pessimistic:
            nearer |= row[task.candidates] == limit
        return np.bincount(task.columns[others & nearer], minlength=task.width)
