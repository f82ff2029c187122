"""The tiled engine: approximate scores in tiles, certain ones counted at once, uncertain ones decided exactly.

Nothing is kept of a tile, and the gallery is not sorted. Instead, the positives of each query are sorted, from the
farthest to the nearest. An item that is ahead of a positive is ahead of all farther ones, so one number tells for which
positives it counts. A difference array takes these numbers and is summed up once, at the end of a block. Most items of
a good ranking are behind the farthest positive, and one comparison shows that.

A counting backend (`crbench.ranking.backends`) compares the scores of a tile with the bounds of the positives. What
stays uncertain is decided here, in float64 (`crbench.ranking.filter`). Memory beside the features is bounded: one tile,
a copy of its rows at most, and the counts of one block of queries.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from crbench.ranking.backends.interface import CountingBackend, Tile, UncertainPairs
from crbench.ranking.backends.torch import TorchBackend, add
from crbench.ranking.block import DistanceBlock, FeatureBlock, QueryBlock
from crbench.ranking.filter import Comparison
from crbench.ranking.gemm.precision import finer, for_cpu, usable, why_slow
from crbench.ranking.gemm.products import K_BLOCKED, matmul_precision
from crbench.ranking.interface import DistanceBlocks, RankCounts, RankInputs, RankTask, Settings
from crbench.ranking.positives import BlockPositives, block_positives, on_device, slice_or_rows
from crbench.ranking.threads import Workers
from crbench.ranking.tiling import (
    CPU_SIDES,
    CUDA_SIDES,
    Sizes,
    TileItems,
    ahead,
    counts_needed,
    prefetched,
    query_blocks,
    tiles,
)

_ROW_BYTES = 48
"""What is known of a row, its norm and its labels: on average, at the peak."""

_KEPT = 1 << 17
"""Gallery rows up to which what is known of them is kept from block to block: 32 bytes per row, 12 more per task."""

_TRIAL = 32
"""Queries that show, before all others, whether a precision leaves too much uncertain; one in 32 of them at most."""

_CPU = torch.device("cpu")

_log = logging.getLogger(__name__)


@attrs.frozen(eq=False)
class _CountedTile:
    """A tile whose certain items were counted, with the pairs that its approximate product could not decide."""

    part: TileItems
    precision: str
    prefix: int
    pairs: int
    uncertain: Iterator[UncertainPairs]


class TiledEngine:
    """Gives the integers of `crbench.ranking.reference.ReferenceEngine`, whatever the backend and the precision."""

    def __init__(
        self, inputs: RankInputs, settings: Settings, backend: CountingBackend, precision: str, workers: Workers
    ) -> None:
        """Args: what to rank and how, who counts, the precision where none is asked for, and the threads."""
        self._asked_for = settings.precision != "auto"
        self._precision = usable(settings.precision if self._asked_for else precision, inputs)
        self._inputs = inputs
        self._backend = backend
        self._workers = workers
        self._device = inputs.device
        self._memory = settings.memory
        if self._asked_for and (why := why_slow(self._precision, inputs)):
            _log.warning(
                "evaluation: %s, so they take longer than precision 'auto' (4 to 5 times, where it was measured); the "
                "scores are the same",
                why,
            )
        # Tiles that are prepared ahead of the one being counted, so that a CUDA device need not wait for the host.
        self._lead = 0 if inputs.device == inputs.query.x.device == _CPU else 1
        self._comparison = None if inputs.distances else Comparison.of(inputs, backend, workers)

    @property
    def precision(self) -> str:
        """See `crbench.ranking.interface.Engine`."""
        return "fp32" if self._precision == K_BLOCKED else self._precision

    def count(self, tasks: Sequence[RankTask]) -> Iterator[RankCounts]:
        """See `crbench.ranking.interface.Engine`."""
        with self._alone():
            sizes = self._sizes(tasks)
            kept = list(tiles(tasks, self._inputs, sizes.items)) if len(self._inputs.gallery) <= _KEPT else None
            self._try_precision(tasks, sizes, kept or tiles(tasks, self._inputs, sizes.items))
        for queries, block in self._blocks(tasks, sizes):
            with self._alone():
                answers = self._answers(tasks, queries, block, kept or tiles(tasks, self._inputs, sizes.items))
            yield from answers

    def _answers(
        self, tasks: Sequence[RankTask], queries: NDArray[np.intp], block: QueryBlock, parts: Iterable[TileItems]
    ) -> list[RankCounts]:
        """The answers to all tasks for one block of queries."""
        positives = self._positives(tasks, queries, block)
        ambiguous = np.zeros(len(tasks), dtype=np.int64)
        ready = ahead(prefetched(parts, block), self._lead)
        for tile in ahead((self._counted(positives, block, part) for part in ready), self._lead):
            ambiguous += self._decided(positives, block, tile, len(tasks))
        if self._inputs.distances:  # Given distances are exact, so equal ones are no ambiguity.
            ambiguous[:] = 0
        return list(positives.counts(tasks, queries, ambiguous.tolist(), self._backend))

    def _positives(self, tasks: Sequence[RankTask], queries: NDArray[np.intp], block: QueryBlock) -> BlockPositives:
        return block_positives(tasks, queries, block, self._inputs.query.labels, self._device)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Inside, libraries use one thread in each of the workers, and float32 products are not shortened."""
        with self._workers.alone(), matmul_precision("ieee"):
            yield

    def _sizes(self, tasks: Sequence[RankTask]) -> Sizes:
        """Sizes of blocks and tiles."""
        query = self._inputs.query
        queries, items = CUDA_SIDES if self._device.type == "cuda" else CPU_SIDES
        tables = _ROW_BYTES * (len(query) + len(self._inputs.gallery))
        columns = query.x.shape[1]
        if self.precision == "int8":
            from crbench.ranking.gemm.int8 import items_at_once  # with numba, which other engines do not need

            items = min(items, items_at_once(columns))
        copies = 1 if self._device == query.x.device else 2  # The rows of this tile, and those of the next one.
        if query.x.element_size() == 8:
            copies = 2 * copies + 1  # Float64 copies take twice the memory, and a float32 copy is added.
        packed = self._workers.threads  # Each thread's product packs the items of a tile anew.
        item = columns * (2 + packed) if self.precision == "int8" else 4 * columns * (copies + packed)
        sizes = Sizes.within(
            max(self._memory - tables, self._memory // 2),
            rows=(4 * columns * copies, item),
            most=(min(queries, len(query)), items),
            at_once=self._backend.at_once,
            counts=int(counts_needed(tasks).sum()),
        )
        # Given distances come with the whole gallery, for one block after the other.
        return attrs.evolve(sizes, items=len(self._inputs.gallery)) if self._inputs.distances else sizes

    def _blocks(self, tasks: Sequence[RankTask], sizes: Sizes) -> Iterator[tuple[NDArray[np.intp], QueryBlock]]:
        """Queries that have positives, block by block, and how they are compared."""
        if self._inputs.distances is not None:
            yield from self._distance_blocks(tasks, self._inputs.distances)
        elif self._comparison is not None:
            yield from self._feature_blocks(tasks, self._comparison, sizes)

    def _feature_blocks(
        self, tasks: Sequence[RankTask], comparison: Comparison, sizes: Sizes
    ) -> Iterator[tuple[NDArray[np.intp], QueryBlock]]:
        for queries in query_blocks(tasks, self._inputs.query.dims, sizes):
            index, rows = slice_or_rows(queries, self._device), on_device(queries, self._device)
            yield queries, FeatureBlock(comparison, index, rows, int(self._inputs.query.dims[queries[0]]))

    def _distance_blocks(
        self, tasks: Sequence[RankTask], blocks: DistanceBlocks
    ) -> Iterator[tuple[NDArray[np.intp], QueryBlock]]:
        sizes = np.sum([task.sizes for task in tasks], axis=0)
        for queries, distances in blocks(self._workers):
            answered = np.flatnonzero(sizes[queries])
            if len(answered):
                yield queries[answered], DistanceBlock(distances[slice_or_rows(answered, self._device)])

    def _try_precision(self, tasks: Sequence[RankTask], sizes: Sizes, parts: Iterable[TileItems]) -> None:
        """Let a few queries against one tile settle the precision, before anything is decided in float64."""
        if self._comparison is None or len(self._inputs.query) < 32 * _TRIAL:
            return
        sizes = attrs.evolve(sizes, queries=min(_TRIAL, sizes.queries))
        for (queries, block), part in zip(self._feature_blocks(tasks, self._comparison, sizes), parts, strict=False):
            positives = self._positives(tasks, queries, block)
            while finer(self._precision, 1.0, self._inputs):
                tile = self._counted(positives, block, part)
                uncertain = sum(len(some.query_tasks) for some in tile.uncertain)
                if not self._refined(tile, uncertain / len(tasks)):
                    break
            return

    def _counted(self, positives: BlockPositives, block: QueryBlock, part: TileItems) -> _CountedTile:
        """Count the certain items of a tile."""
        scores = block.score(part.items, self._precision)
        tile = Tile(
            products=scores.products,
            rows=scores.rows,
            factors=scores.factors,
            terms=scores.terms,
            labels=part.labels,
            by_label=part.by_label,
        )
        bounds = positives.bounds(block, scores)
        uncertain = self._backend.count(tile, positives.query_tasks, bounds, part.candidates)
        return _CountedTile(part, self._precision, scores.prefix, scores.pairs, uncertain)

    def _decided(
        self, positives: BlockPositives, block: QueryBlock, tile: _CountedTile, tasks: int
    ) -> NDArray[np.int64]:
        """Decide the uncertain pairs of a tile; how many there were, per task."""
        found = np.zeros(tasks, dtype=np.int64)
        for uncertain in tile.uncertain:
            if len(uncertain.query_tasks):
                numbers = positives.query_tasks.tasks[uncertain.query_tasks]
                found += numbers.bincount(minlength=tasks).cpu().numpy()
            for some in uncertain.chunks():
                self._decide(positives, block, tile, some)
        self._refined(tile, found.sum() / tasks)
        return found

    def _decide(
        self, positives: BlockPositives, block: QueryBlock, tile: _CountedTile, uncertain: UncertainPairs
    ) -> None:
        """Compare each item with each positive in question, by pairs in float64, then by the definition."""
        query_tasks, part = positives.query_tasks, tile.part
        approximate = block.approximate(
            query_tasks.rows[uncertain.query_tasks], part.rows[uncertain.items], tile.prefix
        )
        columns = part.candidates.columns
        pairs, limits = self._backend.decide(query_tasks, uncertain, approximate, positives.approximate, columns)
        if len(pairs):
            nearer = self._by_definition(positives, block, tile, uncertain, pairs, limits)
            add(query_tasks, uncertain, pairs[nearer], limits[nearer], columns)

    def _by_definition(
        self,
        positives: BlockPositives,
        block: QueryBlock,
        tile: _CountedTile,
        uncertain: UncertainPairs,
        pair: torch.Tensor,
        positive: torch.Tensor,
    ) -> torch.Tensor:
        """bool[m], whether the item of each pair is ahead of the positive."""
        pairs, mine = torch.unique(pair, return_inverse=True)
        queries = positives.query_tasks.rows[uncertain.query_tasks[pairs]]
        distances = block.exact(queries, tile.part.rows[uncertain.items[pairs]], tile.prefix)[mine]
        chosen, mine = torch.unique(positive, return_inverse=True)
        limits = block.exact_positives(positives.owners[chosen], positives.positives[chosen])[mine]
        return distances <= limits if self._inputs.pessimistic else distances < limits

    def _refined(self, tile: _CountedTile, uncertain: float) -> bool:
        """Turn to finer products where so many uncertain pairs of a tile are too many; whether that was done."""
        share, before = uncertain / tile.pairs, self.precision
        wanted = finer(tile.precision, share, self._inputs)
        if wanted is None or self._comparison is None or tile.precision != self._precision:
            return False
        self._precision = wanted
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
        if inputs.device == _CPU:
            _log.warning(
                "evaluation: engine 'torch' on a CPU takes 8 to 40 times as long as 'numba'; the scores are the same"
            )
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

        super().__init__(inputs, settings, CudaBackend(launch_by_cupy), "fp32", Workers(1))
