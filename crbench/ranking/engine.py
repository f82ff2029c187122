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
from crbench.ranking.backends.interface import CountingBackend, Tile, UncertainPairs
from crbench.ranking.backends.torch import TorchBackend, add
from crbench.ranking.exact import ExactRows
from crbench.ranking.filter import DistanceRows, FeatureRows, Geometry
from crbench.ranking.gemm.precision import finer, for_cpu, usable
from crbench.ranking.gemm.products import K_BLOCKED, matmul_precision
from crbench.ranking.interface import RankCounts, RankInputs, RankTask, Settings
from crbench.ranking.operands import NormalisedRows
from crbench.ranking.positives import Asked, ask, on_device, slice_or_rows
from crbench.ranking.threads import Workers
from crbench.ranking.tiles import TileItems, announced, tiles
from crbench.ranking.tiling import CPU_SIDES, CUDA_SIDES, Sizes, ahead, counts_needed, query_blocks

if TYPE_CHECKING:
    from crbench.api.interfaces import Distance

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
    prefix: int
    pairs: int
    uncertain: Iterator[UncertainPairs]


class TiledEngine:
    """Gives the integers of `ReferenceEngine`, whatever the counter and the precision."""

    def __init__(
        self, inputs: RankInputs, settings: Settings, backend: CountingBackend, precision: str, workers: Workers
    ) -> None:
        self._asked_for = settings.precision != "auto"
        self._arithmetic = usable(settings.precision if self._asked_for else precision, inputs)
        self._inputs = inputs
        self._backend = backend
        self._workers = workers
        self._device = inputs.device
        self._memory = settings.memory
        # work that a CUDA device has in store, and that a host gets ready for another device
        self._lead = 0 if inputs.device == inputs.query.x.device == _CPU else 1
        self._geometry = None if inputs.metric else self._of_features()

    @property
    def precision(self) -> str:
        """See `crbench.ranking.interface.Engine`."""
        return "fp32" if self._arithmetic == K_BLOCKED else self._arithmetic

    def count(self, tasks: Sequence[RankTask]) -> Iterator[RankCounts]:
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
        tasks: Sequence[RankTask],
        queries: NDArray[np.intp],
        rows: FeatureRows | DistanceRows,
        parts: Iterable[TileItems],
    ) -> list[RankCounts]:
        """What the tasks ask of a block of queries."""
        asked = ask(tasks, queries, rows, self._inputs.query.rows.pids, self._device)
        ambiguous = np.zeros(len(tasks), dtype=np.int64)
        ready = ahead(announced(parts, rows), self._lead)
        for counted in ahead((self._counted(asked, rows, part) for part in ready), self._lead):
            ambiguous += self._decided(asked, rows, counted, len(tasks))
        if self._inputs.metric:  # which is compared as it is
            ambiguous[:] = 0
        return list(asked.counts(tasks, queries, ambiguous.tolist(), self._backend))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Libraries leave the threads to the workers, and multiply float32 as it is."""
        with self._workers.alone(), matmul_precision("ieee"):
            yield

    def _sizes(self, tasks: Sequence[RankTask]) -> Sizes:
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
            at_once=self._backend.at_once,
            counts=int(counts_needed(tasks).sum()),
        )
        # the distances of a metric are there at once, for a block
        return attrs.evolve(sizes, items=len(self._inputs.gallery)) if self._inputs.metric else sizes

    def _of_features(self) -> Geometry:
        inputs = self._inputs
        backend = self._backend
        if inputs.device != inputs.query.x.device:
            from crbench.ranking.backends.numba import NumbaBackend

            backend = NumbaBackend(Workers.on(inputs.query.x.device), inputs.query.x.shape[1])
        query, gallery = NormalisedRows.both(inputs, backend, self._workers)
        return Geometry(
            query=ExactRows(inputs.query, unit=inputs.unit),
            gallery=ExactRows(inputs.gallery, unit=inputs.unit),
            query_operands=query,
            gallery_operands=gallery,
            dot=inputs.dot,
            backend=backend,
        )

    def _rows(
        self, tasks: Sequence[RankTask], sizes: Sizes
    ) -> Iterator[tuple[NDArray[np.intp], FeatureRows | DistanceRows]]:
        """Blocks of queries that have positives, and what compares them."""
        if self._inputs.metric is not None:
            yield from self._metric_rows(tasks, self._inputs.metric)
        elif self._geometry is not None:
            yield from self._feature_rows(tasks, self._geometry, sizes)

    def _feature_rows(
        self, tasks: Sequence[RankTask], geometry: Geometry, sizes: Sizes
    ) -> Iterator[tuple[NDArray[np.intp], FeatureRows]]:
        for queries in query_blocks(tasks, self._inputs.query_dims, sizes):
            dims = int(self._inputs.query_dims[queries[0]])
            yield (
                queries,
                FeatureRows(geometry, slice_or_rows(queries, self._device), on_device(queries, self._device), dims),
            )

    def _metric_rows(
        self, tasks: Sequence[RankTask], metric: Distance
    ) -> Iterator[tuple[NDArray[np.intp], DistanceRows]]:
        sizes = np.sum([task.sizes for task in tasks], axis=0)
        for queries, distances in custom_distance.blocks(self._inputs, metric, self._workers):
            answered = np.flatnonzero(sizes[queries])
            if len(answered):
                yield queries[answered], DistanceRows(distances[slice_or_rows(answered, self._device)])

    def _try(self, tasks: Sequence[RankTask], sizes: Sizes, parts: Iterable[TileItems]) -> None:
        """Let a few queries against one tile settle the precision, before anything is decided in float64."""
        if self._geometry is None or len(self._inputs.query) < 32 * _TRIAL:
            return
        sizes = attrs.evolve(sizes, queries=min(_TRIAL, sizes.queries))
        for (queries, rows), part in zip(self._feature_rows(tasks, self._geometry, sizes), parts, strict=False):
            asked = ask(tasks, queries, rows, self._inputs.query.rows.pids, self._device)
            while finer(self._arithmetic, 1.0, self._inputs):
                counted = self._counted(asked, rows, part)
                doubtful = sum(len(some.query_tasks) for some in counted.uncertain)
                if not self._refined(counted, doubtful / len(tasks)):
                    break
            return

    def _counted(self, asked: Asked, rows: FeatureRows | DistanceRows, part: TileItems) -> _Counted:
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
        uncertain = self._backend.count(tile, asked.query_tasks, asked.bounds(rows, scored), part.candidates)
        return _Counted(part, self._arithmetic, scored.prefix, scored.pairs, uncertain)

    def _decided(
        self, asked: Asked, rows: FeatureRows | DistanceRows, counted: _Counted, tasks: int
    ) -> NDArray[np.int64]:
        """Add what is in doubt of a tile to the counts, and say how many pairs that was, per task."""
        found = np.zeros(tasks, dtype=np.int64)
        for uncertain in counted.uncertain:
            if len(uncertain.query_tasks):
                found += asked.query_tasks.tasks[uncertain.query_tasks].bincount(minlength=tasks).cpu().numpy()
            for some in uncertain.chunks():
                self._decide(asked, rows, counted, some)
        self._refined(counted, found.sum() / tasks)
        return found

    def _decide(
        self, asked: Asked, rows: FeatureRows | DistanceRows, counted: _Counted, uncertain: UncertainPairs
    ) -> None:
        """Compare each item in doubt with each positive in question, in float64."""
        query_tasks, part = asked.query_tasks, counted.part
        approximate = rows.approximate(
            query_tasks.rows[uncertain.query_tasks], part.rows[uncertain.items], counted.prefix
        )
        columns = part.candidates.columns
        pairs, positives = self._backend.decide(query_tasks, uncertain, approximate, asked.approximate, columns)
        if len(pairs):
            ahead = self._by_definition(asked, rows, counted, uncertain, pairs, positives)
            add(query_tasks, uncertain, pairs[ahead], positives[ahead], columns)

    def _by_definition(
        self,
        asked: Asked,
        rows: FeatureRows | DistanceRows,
        counted: _Counted,
        uncertain: UncertainPairs,
        pair: torch.Tensor,
        positive: torch.Tensor,
    ) -> torch.Tensor:
        """bool[m], whether the item of each pair is ahead of the positive."""
        pairs, mine = torch.unique(pair, return_inverse=True)
        queries, items = asked.query_tasks.rows[uncertain.query_tasks[pairs]], counted.part.rows[uncertain.items[pairs]]
        distances = rows.exact(queries, items, counted.prefix)[mine]
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

    def __init__(self, inputs: RankInputs, settings: Settings) -> None:
        super().__init__(inputs, settings, TorchBackend(), "fp32", Workers(1))


class NumbaEngine(TiledEngine):
    """Counts with loops compiled by numba, on the CPU."""

    def __init__(self, inputs: RankInputs, settings: Settings) -> None:
        from crbench.ranking.backends.numba import NumbaBackend

        workers = Workers.on(inputs.device)
        super().__init__(inputs, settings, NumbaBackend(workers, inputs.query.x.shape[1]), for_cpu(inputs), workers)


class CupyEngine(TiledEngine):
    """Counts with kernels launched by CuPy, on CUDA."""

    def __init__(self, inputs: RankInputs, settings: Settings) -> None:
        from crbench.ranking.backends.cuda import CudaBackend, launch_by_cupy

        backend = CudaBackend(launch_by_cupy)
        super().__init__(inputs, settings, backend, "fp32", Workers(1))
