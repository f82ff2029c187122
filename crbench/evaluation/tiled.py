"""The tiled engines: tiles of scores, and for each item the number of positives it is ahead of.

Nothing is kept of a tile and the gallery is not sorted. Within a query, the positives are sorted instead: an item is
ahead of the n farthest of them for some n, so it is enough to find n, and most items of a good ranking are behind all.
Who compares scores with bounds is a matter of the counter (`crbench.evaluation.counters`); what is in doubt is decided
here, in float64 (`crbench.evaluation.rows`). Memory beside the features is bounded: one tile, a copy of its rows at
most, and the counts of one block of queries.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from crbench.evaluation import metrics
from crbench.evaluation.blocks import Sizes, item_tiles, query_blocks
from crbench.evaluation.counters import WORK, Bounds, Candidates, Counter, Doubts, Tile, TorchCounter
from crbench.evaluation.points import Points
from crbench.evaluation.positives import Asked, ask, on_device, slice_or_rows
from crbench.evaluation.precision import FINER, for_cpu, usable
from crbench.evaluation.products import SCRATCH
from crbench.evaluation.rows import FeatureRows, Geometry, Items, MetricRows, Scored
from crbench.evaluation.sides import Side
from crbench.evaluation.task import Counts, Inputs, Settings, Task
from crbench.evaluation.workers import Workers

if TYPE_CHECKING:
    from crbench.interfaces import Metric

TOO_MANY = 1 / 32
"""Share of a tile's pairs; with more of them in doubt, a finer product is cheaper than float64."""

_KEPT = 1 << 17
"""Gallery rows up to which what is known of them is kept from block to block: 32 bytes per row, 12 more per task."""

_TRIAL = 32
"""Queries that show, before all others, whether a precision leaves too much in doubt; one in 32 of them at most."""

_log = logging.getLogger(__name__)


@attrs.frozen(eq=False)
class _Part:
    """A tile's items: rows i64[g], pids sorted, and for each task who is a candidate."""

    items: Items
    rows: torch.Tensor
    pids: torch.Tensor
    by_pid: torch.Tensor
    candidates: tuple[Candidates, ...]


class TiledEngine:
    """Gives the integers of `ReferenceEngine`, whatever the counter and the precision."""

    def __init__(self, inputs: Inputs, settings: Settings, counter: Counter, precision: str, workers: Workers) -> None:
        self._asked_for = settings.precision != "auto"
        self.precision = usable(settings.precision if self._asked_for else precision, inputs)
        self._inputs = inputs
        self._counter = counter
        self._workers = workers
        self._device: torch.device = inputs.query.x.device
        scratch = workers.threads * SCRATCH if self._device.type == "cpu" else settings.memory
        self._sizes = Sizes.within(settings.memory, inputs.query.x.shape[1], scratch)
        if inputs.metric:  # whose distances of a block are there at once
            self._sizes = attrs.evolve(self._sizes, items=len(inputs.gallery))
        self._query_pids, self._gallery_pids = (
            self._on_device(side.rows.pids) for side in (inputs.query, inputs.gallery)
        )
        self._geometry = None if inputs.metric else self._of_features()

    def count(self, tasks: Sequence[Task]) -> Iterator[Counts]:
        """See `crbench.evaluation.task.Engine`."""
        with self._workers.alone():
            kept = list(self._parts(tasks)) if len(self._inputs.gallery) <= _KEPT else None
            self._try(tasks, kept or self._parts(tasks))
        for queries, rows in self._rows(tasks):
            with self._workers.alone():
                answers = self._answers(tasks, queries, rows, kept or self._parts(tasks))
            yield from answers

    def _answers(
        self, tasks: Sequence[Task], queries: NDArray[np.intp], rows: FeatureRows | MetricRows, parts: Iterable[_Part]
    ) -> list[Counts]:
        """What the tasks ask of a block of queries."""
        asked = ask(tasks, queries, rows, self._device)
        ambiguous = [0] * len(asked)
        for part in parts:
            for place, doubts in self._compare(asked, rows, part):
                ambiguous[place] += doubts
        return [
            one.counts(tasks[one.number], 0 if self._inputs.metric else doubts, self._counter)
            for one, doubts in zip(asked, ambiguous, strict=True)
        ]

    def _of_features(self) -> Geometry:
        inputs = self._inputs
        query, gallery = Points.both(inputs, self._counter, self._workers)
        return Geometry(
            query=Side(inputs.query, unit=inputs.unit),
            gallery=Side(inputs.gallery, unit=inputs.unit),
            query_points=query,
            gallery_points=gallery,
            dot=inputs.dot,
            counter=self._counter,
            workers=self._workers,
        )

    def _rows(self, tasks: Sequence[Task]) -> Iterator[tuple[NDArray[np.intp], FeatureRows | MetricRows]]:
        """Blocks of queries that have positives, and what compares them."""
        if self._inputs.metric is not None:
            yield from self._metric_rows(tasks, self._inputs.metric)
        elif self._geometry is not None:
            yield from self._feature_rows(tasks, self._geometry, self._sizes)

    def _feature_rows(
        self, tasks: Sequence[Task], geometry: Geometry, sizes: Sizes
    ) -> Iterator[tuple[NDArray[np.intp], FeatureRows]]:
        for queries in query_blocks(tasks, self._inputs.query_dims, sizes):
            dims = int(self._inputs.query_dims[queries[0]])
            yield queries, FeatureRows(geometry, slice_or_rows(queries, self._device), self._on_device(queries), dims)

    def _metric_rows(self, tasks: Sequence[Task], metric: Metric) -> Iterator[tuple[NDArray[np.intp], MetricRows]]:
        sizes = np.sum([task.sizes for task in tasks], axis=0)
        for queries, distances in metrics.blocks(self._inputs, metric):
            answered = np.flatnonzero(sizes[queries])
            if len(answered):
                yield queries[answered], MetricRows(distances[slice_or_rows(answered, self._device)])

    def _parts(self, tasks: Sequence[Task]) -> Iterator[_Part]:
        columns = [np.full(len(self._inputs.gallery), -1, dtype=np.int32) for _ in tasks]
        for task, column in zip(tasks, columns, strict=True):
            column[task.candidates] = task.columns
        for rows in item_tiles(tasks, self._inputs, self._sizes.items):
            index = self._on_device(rows)
            pids, by_pid = self._gallery_pids[index].sort()
            mine = [self._on_device(column[rows]) for column in columns]
            masks = [torch.where(column < 0, torch.nan, torch.zeros(1, device=self._device)) for column in mine]
            yield _Part(
                items=Items(slice_or_rows(rows, self._device), int(self._inputs.gallery_dims[rows[0]])),
                rows=index,
                pids=pids,
                by_pid=by_pid,
                candidates=tuple(Candidates(*pair) for pair in zip(masks, mine, strict=True)),
            )

    def _try(self, tasks: Sequence[Task], parts: Iterable[_Part]) -> None:
        """Let a few queries against one tile settle the precision, before anything is decided in float64."""
        if self._geometry is None or self.precision not in FINER or len(self._inputs.query) < 32 * _TRIAL:
            return
        sizes = attrs.evolve(self._sizes, queries=min(_TRIAL, self._sizes.queries))
        for (queries, rows), part in zip(self._feature_rows(tasks, self._geometry, sizes), parts, strict=False):
            asked = ask(tasks, queries, rows, self._device)
            while self.precision in FINER:
                scored, tile = self._scored(queries, rows, part)
                found = (self._doubts(one, rows, part, scored, tile) for one in asked)
                doubtful = sum(len(some.rows) for doubts in found for some in doubts)
                share = doubtful / (scored.pairs * len(asked))
                if share <= TOO_MANY:
                    break
                self._refine(share)
            return

    def _compare(
        self, asked: Sequence[Asked], rows: FeatureRows | MetricRows, part: _Part
    ) -> Iterator[tuple[int, int]]:
        """Add what a tile holds to the counts; for each of `asked`, how many pairs were in doubt."""
        scored, tile = self._scored(asked[0].queries, rows, part)
        total = 0
        for place, one in enumerate(asked):
            doubtful = 0
            for doubts in self._doubts(one, rows, part, scored, tile):
                doubtful += len(doubts.rows)
                for some in _pieces(doubts):
                    self._decide(one, rows, part, scored, some)
            total += doubtful
            yield place, doubtful
        share = total / (scored.pairs * len(asked))
        if share > TOO_MANY:
            self._refine(share)

    def _scored(self, queries: NDArray[np.intp], rows: FeatureRows | MetricRows, part: _Part) -> tuple[Scored, Tile]:
        scored = rows.score(part.items, self.precision)
        return scored, Tile(
            products=scored.products,
            rows=scored.rows,
            factors=scored.factors,
            terms=scored.terms,
            query_pids=self._query_pids[self._on_device(queries)],
            pids=part.pids,
            by_pid=part.by_pid,
        )

    def _doubts(
        self, one: Asked, rows: FeatureRows | MetricRows, part: _Part, scored: Scored, tile: Tile
    ) -> Iterator[Doubts]:
        """Count a tile for one task; what is in doubt."""
        low, high = rows.bounds(scored, one.owners, one.near.distances)
        bounds = Bounds(one.first, low, high, leaps=one.leaps, width=one.width)
        return self._counter.count(tile, bounds, part.candidates[one.number])

    def _decide(
        self,
        asked: Asked,
        rows: FeatureRows | MetricRows,
        part: _Part,
        scored: Scored,
        doubts: Doubts,
    ) -> None:
        """Compare each item in doubt with each positive in question, in float64."""
        near = rows.near(doubts.rows, part.rows[doubts.items], scored.cut)
        counts = doubts.last - doubts.first
        upto = counts.cumsum(0)
        place = torch.arange(int(upto[-1]), device=self._device)
        pair = torch.searchsorted(upto, place, right=True)  # much faster than repeat_interleave
        positive = place + (doubts.first - upto + counts)[pair]
        distance, limit = near.distances[pair], asked.near.distances[positive]
        error = near.errors[pair] + asked.near.errors[positive]
        ahead = distance < limit - error
        unsure = (~ahead & ~(distance > limit + error)).nonzero()[:, 0]
        if len(unsure):
            ahead[unsure] = self._by_definition(asked, rows, part, scored.cut, doubts, pair[unsure], positive[unsure])
        pair, positive = pair[ahead], positive[ahead]
        slots = positive * asked.width + part.candidates[asked.number].columns[doubts.items[pair]]
        ones = torch.ones_like(slots, dtype=torch.int32)
        asked.leaps.index_add_(0, slots, ones)
        # what is ahead of a positive counts for the farther ones too, which are decided one by one
        farther = positive > asked.first[doubts.rows[pair]]
        asked.leaps.index_add_(0, slots[farther] - asked.width, -ones[farther])

    def _by_definition(
        self,
        asked: Asked,
        rows: FeatureRows | MetricRows,
        part: _Part,
        cut: int,
        doubts: Doubts,
        pair: torch.Tensor,
        positive: torch.Tensor,
    ) -> torch.Tensor:
        """bool[m], whether the item of each pair is ahead of the positive."""
        pairs, mine = torch.unique(pair, return_inverse=True)
        distances = rows.exact(doubts.rows[pairs], part.rows[doubts.items[pairs]], cut)[mine]
        positives, mine = torch.unique(positive, return_inverse=True)
        limits = rows.exact_positives(asked.owners[positives], asked.positives[positives])[mine]
        return distances <= limits if self._inputs.pessimistic else distances < limits

    def _refine(self, share: float) -> None:
        finer = FINER.get(self.precision)
        if finer is not None and self._geometry is not None:
            _log.log(
                logging.WARNING if self._asked_for else logging.DEBUG,
                "evaluation: %.0f %% of a tile's comparisons are too close for %s products; going on with %s",
                100 * share,
                self.precision,
                finer,
            )
            self.precision = finer

    def _on_device(self, index: NDArray[np.integer]) -> torch.Tensor:
        return on_device(index, self._device)


class TorchEngine(TiledEngine):
    """Counts with torch operations, on the CPU and on CUDA."""

    def __init__(self, inputs: Inputs, settings: Settings) -> None:
        super().__init__(inputs, settings, TorchCounter(), "fp32", Workers.on(inputs.query.x.device))


class NumbaEngine(TiledEngine):
    """Counts with loops compiled by numba, on the CPU."""

    def __init__(self, inputs: Inputs, settings: Settings) -> None:
        from crbench.evaluation.compiled import CompiledCounter

        workers = Workers.on(inputs.query.x.device)
        super().__init__(inputs, settings, CompiledCounter(workers), for_cpu(inputs), workers)


class CupyEngine(TiledEngine):
    """Counts with kernels launched by CuPy, on CUDA."""

    def __init__(self, inputs: Inputs, settings: Settings) -> None:
        from crbench.evaluation.kernels import KernelCounter, launch_by_cupy

        counter = KernelCounter(launch_by_cupy)
        super().__init__(inputs, settings, counter, "fp32", Workers.on(inputs.query.x.device))


def _pieces(doubts: Doubts) -> Iterator[Doubts]:
    """Doubts in pieces of a bounded number of comparisons."""
    if len(doubts.rows) == 0:
        return
    upto = (doubts.last - doubts.first).cumsum(0)
    pieces = int(upto[-1]) // WORK
    marks = torch.arange(1, pieces + 1, device=upto.device) * WORK
    ends = torch.unique(torch.searchsorted(upto, marks, right=True)).tolist()
    for start, stop in zip([0, *ends], [*ends, len(upto)], strict=True):
        if start < stop:
            some = slice(start, stop)
            yield Doubts(doubts.rows[some], doubts.items[some], doubts.first[some], doubts.last[some])
