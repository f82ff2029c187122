"""The torch engine, for the CPU and CUDA: tiles of scores, and for each item the number of positives it is ahead of.

Nothing is kept of a tile and the gallery is not sorted. Within a query, the positives are sorted instead: an item is
ahead of the n farthest of them for some n, so it is enough to find n, and most items of a good ranking are behind all.
Memory beside the features is bounded: one tile of scores, work arrays for a part of it, and the counts of one block of
queries.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from crbench.evaluation import metrics
from crbench.evaluation.task import Counts, Inputs, Task, slots
from crbench.evaluation.torch_tile import FeatureRows, MetricRows, Side, Tile, common_scale

QUERIES = 1024
"""Queries per tile."""

ITEMS = 4096
"""Gallery items per tile."""

WORK = 1 << 20
"""Scores looked at in one go."""

COUNTS = 1 << 23
"""Counts kept per block of queries."""

_LAST = torch.iinfo(torch.int64).max


@attrs.frozen(eq=False)
class _Block:
    """Some queries and, query by query, their positives from the farthest to the nearest.

    Attributes:
        queries: intp[b]; each has a positive.
        first: i64[b + 1], where the positives of each query begin.
        owners: i64[p], which of the b queries.
        limits: f64[p], distances of the positives.
        order: i64[p], their places in the task's order.
        leaps: i32[p * width]; how many items are ahead of this positive and of no nearer one, per column.
    """

    queries: NDArray[np.intp]
    first: torch.Tensor
    owners: torch.Tensor
    limits: torch.Tensor
    order: torch.Tensor
    leaps: torch.Tensor

    def ahead(self) -> NDArray[np.int32]:
        """i32[p, width], items ahead of each positive, in the task's order."""
        leaps = self.leaps.view(len(self.owners), -1)
        upto = leaps.cumsum(dim=0, dtype=torch.int32)  # may wrap around; the differences are right all the same
        found = torch.empty_like(leaps)
        found[self.order] = upto[self.first[1:] - 1][self.owners] - upto + leaps
        return found.cpu().numpy()


@attrs.frozen(eq=False)
class _Items:
    """Gallery items of one tile: rows i64[g], of which `dims` columns count, and what counts them, i64[g]."""

    index: torch.Tensor
    dims: int
    columns: torch.Tensor


class TorchEngine:
    """Gives the integers of `ReferenceEngine`; `crbench.evaluation.torch_tile` says why."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._device: torch.device = inputs.query.x.device
        self._query_pids = self._on_device(inputs.query.rows.pids)
        self._gallery_pids = self._on_device(inputs.gallery.rows.pids)
        self._gallery_dims = self._on_device(inputs.gallery_dims)
        sides = (inputs.query, inputs.query_dims), (inputs.gallery, inputs.gallery_dims)
        scale = 1.0 if inputs.unit or inputs.metric else common_scale(sides)
        self._query, self._gallery = (Side(feats, unit=inputs.unit, scale=scale) for feats, _ in sides)

    def count(self, task: Task) -> Iterator[Counts]:
        """See `crbench.evaluation.task.Engine`."""
        parts = list(self._items(task))
        for queries, rows in self._rows(task):
            block = self._block(task, queries, rows)
            looked_up = sum(
                self._compare(block, part, rows.tile(part.index, part.dims, block.owners, block.limits), task.width)
                for part in parts
            )
            yield Counts(queries=queries, ahead=block.ahead(), ambiguous=0 if self._inputs.metric else looked_up)

    def _rows(self, task: Task) -> Iterator[tuple[NDArray[np.intp], FeatureRows | MetricRows]]:
        """Blocks of queries that have positives, and what compares them."""
        if self._inputs.metric is not None:
            for queries, distances in metrics.blocks(self._inputs, self._inputs.metric):
                answered = np.flatnonzero(task.sizes[queries])
                if len(answered):
                    yield queries[answered], MetricRows(distances[self._on_device(answered)])
            return
        for queries in _query_blocks(task, self._inputs.query_dims):
            dims = int(self._inputs.query_dims[queries[0]])
            index = self._on_device(queries)
            dot = self._inputs.dot
            yield queries, FeatureRows(self._query, self._gallery, index, dims, self._gallery_dims, dot=dot)

    def _items(self, task: Task) -> Iterator[_Items]:
        """The candidates in tiles of equal dims."""
        dims = self._inputs.gallery_dims[task.candidates]
        order = np.argsort(dims, kind="stable")
        for same in np.split(order, np.flatnonzero(np.diff(dims[order])) + 1):
            for start in range(0, len(same), ITEMS):
                part = same[start : start + ITEMS]
                index = self._on_device(task.candidates[part])
                yield _Items(index=index, dims=int(dims[part[0]]), columns=self._on_device(task.columns[part]))

    def _block(self, task: Task, queries: NDArray[np.intp], rows: FeatureRows | MetricRows) -> _Block:
        sizes = task.sizes[queries]
        owners = self._on_device(np.repeat(np.arange(len(queries)), sizes))
        limits = rows.limits(owners, self._on_device(task.positives[slots(task, queries)]))
        order = limits.argsort(descending=True)
        order = order[owners[order].argsort(stable=True)]
        return _Block(
            queries=queries,
            first=self._on_device(np.concatenate([[0], np.cumsum(sizes)])),
            owners=owners,
            limits=limits[order],
            order=order,
            leaps=torch.zeros(len(owners) * task.width, dtype=torch.int32, device=self._device),
        )

    def _compare(self, block: _Block, part: _Items, tile: Tile, width: int) -> int:
        """Add what a tile holds to the block's counts; how many of its distances were looked up in float64."""
        own = self._query_pids[self._on_device(block.queries), None] == self._gallery_pids[part.index]
        tile.scores.masked_fill_(own, torch.nan)  # neither ahead nor in doubt
        farthest = tile.low[block.first[:-1], None]
        step = max(1, WORK // len(part.index))
        looked_up = 0
        for start in range(0, len(block.queries), step):
            some = slice(start, start + step)
            rows, items = (tile.scores[some] >= farthest[some]).nonzero(as_tuple=True)
            rows += start
            passed, doubtful = self._passed(block, tile, rows, items)
            counted = passed > block.first[rows]
            leaps = (passed[counted] - 1) * width + part.columns[items[counted]]
            block.leaps.index_add_(0, leaps, torch.ones_like(leaps, dtype=torch.int32))
            looked_up += doubtful
        return looked_up

    def _passed(self, block: _Block, tile: Tile, rows: torch.Tensor, items: torch.Tensor) -> tuple[torch.Tensor, int]:
        """i64[m], the end of those positives of its query that each item is ahead of; and how many were looked up."""
        keys = _keys(rows, tile.scores[rows, items])
        surely = torch.searchsorted(_keys(block.owners, tile.high), keys)
        low = _keys(block.owners, tile.low)
        low = torch.cat([low, low.new_full((1,), _LAST)])
        doubtful = (low[surely] <= keys).nonzero()[:, 0]
        if len(doubtful):
            exact = tile.exact(rows[doubtful], items[doubtful])
            bounds = surely[doubtful], torch.searchsorted(low, keys[doubtful], right=True)
            surely[doubtful] = _bisect(block.limits, exact, *bounds, pessimistic=self._inputs.pessimistic)
        return surely, len(doubtful)

    def _on_device(self, index: NDArray[np.integer]) -> torch.Tensor:
        return torch.from_numpy(index.astype(np.int64)).to(self._device)


def _query_blocks(task: Task, dims: NDArray[np.int64]) -> Iterator[NDArray[np.intp]]:
    """Queries that have positives, in blocks of equal dims and of a bounded number of counts."""
    order = np.argsort(dims, kind="stable")
    order = order[task.sizes[order] > 0]
    for same in np.split(order, np.flatnonzero(np.diff(dims[order])) + 1):
        counts = np.cumsum(task.sizes[same]) * task.width
        start = 0
        while start < len(same):
            before = counts[start - 1] if start else 0
            stop = min(start + QUERIES, int(np.searchsorted(counts, before + COUNTS, side="right")))
            stop = max(stop, start + 1)
            yield same[start:stop]
            start = stop


def _keys(rows: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """i64[n] that sort as the pairs (row, score) do, for scores f32[n] without NaN."""
    bits = (scores + 0.0).view(torch.int32)  # adding 0 makes one zero of the two
    return (rows << 32) + torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)


def _bisect(
    limits: torch.Tensor, values: torch.Tensor, low: torch.Tensor, high: torch.Tensor, *, pessimistic: bool
) -> torch.Tensor:
    """i64[m], the end of those falling f64 `limits`, between `low` and `high` i64[m], that each value is ahead of."""
    while bool((low < high).any()):
        middle = (low + high) // 2
        at = limits[middle.clamp(max=len(limits) - 1)]
        ahead = (low < high) & (values <= at if pessimistic else values < at)
        low, high = torch.where(ahead, middle + 1, low), torch.where(ahead, high, middle)
    return low
