"""The tiled engines: tiles of scores, and for each item the number of positives it is ahead of.

Nothing is kept of a tile and the gallery is not sorted. Within a query, the positives are sorted instead: an item is
ahead of the n farthest of them for some n, so it is enough to find n, and most items of a good ranking are behind all.
Who compares scores with bounds is a matter of the counter (`crbench.ranking.backends.interface`); what is in
doubt is decided here, in float64 (`crbench.ranking.filter`). Memory beside the features is bounded: one tile, a copy
of its rows at most, and the counts of one block of queries.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from crbench.evaluation import custom_distance
from crbench.ranking.backends.interface import Counter, Doubts, Tile
from crbench.ranking.backends.torch import TorchCounter, add
from crbench.ranking.exact import Side
from crbench.ranking.filter import FeatureRows, Geometry, MetricRows
from crbench.ranking.gemm.precision import finer, for_cpu, usable
from crbench.ranking.gemm.products import SPANS, matmul_precision
from crbench.ranking.interface import Counts, Inputs, Settings, Task
from crbench.ranking.operands import Points
from crbench.ranking.positives import Asked, ask, on_device, slice_or_rows
from crbench.ranking.threads import Workers
from crbench.ranking.tiles import TileItems, announced, tiles
from crbench.ranking.tiling import CPU_SIDES, CUDA_SIDES, Sizes, ahead, counts_needed, query_blocks

if TYPE_CHECKING:
    from crbench.api.interfaces import Metric

_ROW_BYTES = 48
"""What is known of a row, its norm and its labels: on an average, at the peak."""

_KEPT = 1 << 17
"""Gallery rows up to which what is known of them is kept from block to block: 32 bytes per row, 12 more per task."""

_TRIAL = 32
"""Queries that show, before all others, whether a precision leaves too much in doubt; one in 32 of them at most."""

_CPU = torch.device("cpu")

_log = logging.getLogger(__name__)


@attrs.frozen(eq=False)
class _Counted:
    """A tile of so many pairs, of which no more is there than what its products left in doubt."""

    part: TileItems
    arithmetic: str
    cut: int
    pairs: int
    doubts: Iterator[Doubts]


class TiledEngine:
    """Gives the integers of `ReferenceEngine`, whatever the counter and the precision."""

    def __init__(self, inputs: Inputs, settings: Settings, counter: Counter, precision: str, workers: Workers) -> None:
        self._asked_for = settings.precision != "auto"
        self._arithmetic = usable(settings.precision if self._asked_for else precision, inputs)
        self._inputs = inputs
        self._counter = counter
        self._workers = workers
        self._device = inputs.device
        self._memory = settings.memory
        # work that a CUDA device has in store, and that a host gets ready for another device
        self._lead = 0 if inputs.device == inputs.query.x.device == _CPU else 1
        self._geometry = None if inputs.metric else self._of_features()

    @property
    def precision(self) -> str:
        """See `crbench.ranking.interface.Engine`."""
        return "fp32" if self._arithmetic == SPANS else self._arithmetic

    def count(self, tasks: Sequence[Task]) -> Iterator[Counts]:
        """See `crbench.ranking.interface.Engine`."""
        sizes = self._sizes(tasks)
        with self._alone():
            kept = list(tiles(tasks, self._inputs, sizes.items)) if len(self._inputs.gallery) <= _KEPT else None
            self._try(tasks, sizes, kept or tiles(tasks, self._inputs, sizes.items))
        for queries, rows in self._rows(tasks, sizes):
            with self._alone():
                answers = self._answers(tasks, queries, rows, kept or tiles(tasks, self._inputs, sizes.items))
            yield from answers

    def _answers(
        self,
        tasks: Sequence[Task],
        queries: NDArray[np.intp],
        rows: FeatureRows | MetricRows,
        parts: Iterable[TileItems],
    ) -> list[Counts]:
        """What the tasks ask of a block of queries."""
        asked = ask(tasks, queries, rows, self._inputs.query.rows.pids, self._device)
        ambiguous = np.zeros(len(tasks), dtype=np.int64)
        ready = ahead(announced(parts, rows), self._lead)
        for counted in ahead((self._counted(asked, rows, part) for part in ready), self._lead):
            ambiguous += self._decided(asked, rows, counted, len(tasks))
        if self._inputs.metric:  # which is compared as it is
            ambiguous[:] = 0
        return list(asked.counts(tasks, queries, ambiguous.tolist(), self._counter))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Libraries leave the threads to the workers, and multiply float32 as it is."""
        with self._workers.alone(), matmul_precision("ieee"):
            yield

    def _sizes(self, tasks: Sequence[Task]) -> Sizes:
        """Sizes of blocks and tiles."""
        query = self._inputs.query
        queries, items = CUDA_SIDES if self._device.type == "cuda" else CPU_SIDES
        tables = _ROW_BYTES * (len(query) + len(self._inputs.gallery))
        columns = query.x.shape[1]
        copies = 1 if self._device == query.x.device else 2  # a tile's rows are there, and the next one's
        packed = self._workers.threads  # each thread's product packs a tile's items anew
        item = columns * (2 + packed) if self.precision == "int8" else 4 * columns * (copies + packed)
        sizes = Sizes.within(
            max(self._memory - tables, self._memory // 2),
            rows=(4 * columns * copies, item),
            most=(min(queries, len(query)), items),
            at_once=self._counter.at_once,
            counts=int(counts_needed(tasks).sum()),
        )
        # the distances of a metric are there at once, for a block
        return attrs.evolve(sizes, items=len(self._inputs.gallery)) if self._inputs.metric else sizes

    def _of_features(self) -> Geometry:
        inputs = self._inputs
        counter = self._counter
        if inputs.device != inputs.query.x.device:
            from crbench.ranking.backends.numba import CompiledCounter

            counter = CompiledCounter(Workers.on(inputs.query.x.device), inputs.query.x.shape[1])
        query, gallery = Points.both(inputs, counter, self._workers)
        return Geometry(
            query=Side(inputs.query, unit=inputs.unit),
            gallery=Side(inputs.gallery, unit=inputs.unit),
            query_points=query,
            gallery_points=gallery,
            dot=inputs.dot,
            counter=counter,
        )

    def _rows(self, tasks: Sequence[Task], sizes: Sizes) -> Iterator[tuple[NDArray[np.intp], FeatureRows | MetricRows]]:
        """Blocks of queries that have positives, and what compares them."""
        if self._inputs.metric is not None:
            yield from self._metric_rows(tasks, self._inputs.metric)
        elif self._geometry is not None:
            yield from self._feature_rows(tasks, self._geometry, sizes)

    def _feature_rows(
        self, tasks: Sequence[Task], geometry: Geometry, sizes: Sizes
    ) -> Iterator[tuple[NDArray[np.intp], FeatureRows]]:
        for queries in query_blocks(tasks, self._inputs.query_dims, sizes):
            dims = int(self._inputs.query_dims[queries[0]])
            yield (
                queries,
                FeatureRows(geometry, slice_or_rows(queries, self._device), on_device(queries, self._device), dims),
            )

    def _metric_rows(self, tasks: Sequence[Task], metric: Metric) -> Iterator[tuple[NDArray[np.intp], MetricRows]]:
        sizes = np.sum([task.sizes for task in tasks], axis=0)
        for queries, distances in custom_distance.blocks(self._inputs, metric, self._workers):
            answered = np.flatnonzero(sizes[queries])
            if len(answered):
                yield queries[answered], MetricRows(distances[slice_or_rows(answered, self._device)])

    def _try(self, tasks: Sequence[Task], sizes: Sizes, parts: Iterable[TileItems]) -> None:
        """Let a few queries against one tile settle the precision, before anything is decided in float64."""
        if self._geometry is None or len(self._inputs.query) < 32 * _TRIAL:
            return
        sizes = attrs.evolve(sizes, queries=min(_TRIAL, sizes.queries))
        for (queries, rows), part in zip(self._feature_rows(tasks, self._geometry, sizes), parts, strict=False):
            asked = ask(tasks, queries, rows, self._inputs.query.rows.pids, self._device)
            while finer(self._arithmetic, 1.0, self._inputs):
                counted = self._counted(asked, rows, part)
                doubtful = sum(len(some.askers) for some in counted.doubts)
                if not self._refined(counted, doubtful / len(tasks)):
                    break
            return

    def _counted(self, asked: Asked, rows: FeatureRows | MetricRows, part: TileItems) -> _Counted:
        """Add what is sure of a tile to the counts."""
        scored = rows.score(part.items, self._arithmetic)
        tile = Tile(
            products=scored.products,
            rows=scored.rows,
            factors=scored.factors,
            terms=scored.terms,
            pids=part.pids,
            by_pid=part.by_pid,
        )
        doubts = self._counter.count(tile, asked.askers, asked.bounds(rows, scored), part.candidates)
        return _Counted(part, self._arithmetic, scored.cut, scored.pairs, doubts)

    def _decided(
        self, asked: Asked, rows: FeatureRows | MetricRows, counted: _Counted, tasks: int
    ) -> NDArray[np.int64]:
        """Add what is in doubt of a tile to the counts, and say how many pairs that was, per task."""
        found = np.zeros(tasks, dtype=np.int64)
        for doubts in counted.doubts:
            if len(doubts.askers):
                found += asked.askers.tasks[doubts.askers].bincount(minlength=tasks).cpu().numpy()
            for some in doubts.pieces():
                self._decide(asked, rows, counted, some)
        self._refined(counted, found.sum() / tasks)
        return found

    def _decide(self, asked: Asked, rows: FeatureRows | MetricRows, counted: _Counted, doubts: Doubts) -> None:
        """Compare each item in doubt with each positive in question, in float64."""
        askers, part = asked.askers, counted.part
        near = rows.near(askers.rows[doubts.askers], part.rows[doubts.items], counted.cut)
        columns = part.candidates.columns
        pairs, positives = self._counter.decide(askers, doubts, near, asked.near, columns)
        if len(pairs):
            ahead = self._by_definition(asked, rows, counted, doubts, pairs, positives)
            add(askers, doubts, pairs[ahead], positives[ahead], columns)

    def _by_definition(
        self,
        asked: Asked,
        rows: FeatureRows | MetricRows,
        counted: _Counted,
        doubts: Doubts,
        pair: torch.Tensor,
        positive: torch.Tensor,
    ) -> torch.Tensor:
        """bool[m], whether the item of each pair is ahead of the positive."""
        pairs, mine = torch.unique(pair, return_inverse=True)
        queries, items = asked.askers.rows[doubts.askers[pairs]], counted.part.rows[doubts.items[pairs]]
        distances = rows.exact(queries, items, counted.cut)[mine]
        positives, mine = torch.unique(positive, return_inverse=True)
        limits = rows.exact_positives(asked.owners[positives], asked.positives[positives])[mine]
        return distances <= limits if self._inputs.pessimistic else distances < limits

    def _refined(self, counted: _Counted, doubtful: float) -> bool:
        """Turn to finer products, if there are any, where so many of a tile's pairs are too many; whether it did."""
        share, before = doubtful / counted.pairs, self.precision
        wanted = finer(counted.arithmetic, share, self._inputs)
        if wanted is None or self._geometry is None or counted.arithmetic != self._arithmetic:
            return False
        self._arithmetic = wanted
        _log.log(
            logging.WARNING if self._asked_for and self.precision != before else logging.DEBUG,
            "evaluation: %.0f %% of a tile's comparisons are too close for %s products; going on with %s",
            100 * share,
            before,
            wanted,
        )
        return True


class TorchEngine(TiledEngine):
    """Counts with torch operations, on the CPU and on CUDA."""

    def __init__(self, inputs: Inputs, settings: Settings) -> None:
        super().__init__(inputs, settings, TorchCounter(), "fp32", Workers(1))


class NumbaEngine(TiledEngine):
    """Counts with loops compiled by numba, on the CPU."""

    def __init__(self, inputs: Inputs, settings: Settings) -> None:
        from crbench.ranking.backends.numba import CompiledCounter

        workers = Workers.on(inputs.device)
        super().__init__(inputs, settings, CompiledCounter(workers, inputs.query.x.shape[1]), for_cpu(inputs), workers)


class CupyEngine(TiledEngine):
    """Counts with kernels launched by CuPy, on CUDA."""

    def __init__(self, inputs: Inputs, settings: Settings) -> None:
        from crbench.ranking.backends.cuda import KernelCounter, launch_by_cupy

        counter = KernelCounter(launch_by_cupy)
        super().__init__(inputs, settings, counter, "fp32", Workers(1))
