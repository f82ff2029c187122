"""The counting backend for the CPU: compiled loops, with rows shared out to as many threads as torch uses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from crbench.ranking.backends import numba_loops
from crbench.ranking.backends.interface import (
    ApproximateDistances,
    Bounds,
    Candidates,
    QueryTasks,
    Tile,
    UncertainPairs,
)
from crbench.ranking.threads import ScratchBuffer, Workers

_AT_ONCE = (384, 640)
"""Most rows of a panel, of short features and of long ones. A thread multiplies a panel and then counts it: products of
few rows are still in the cache, which matters where counting is a large part of the work; for many rows, the GEMM packs
a tile's items less often.
"""

_SHORT = 1024
"""Features of fewer columns are short."""

_UNCERTAIN = 1 << 15
"""Uncertain pairs that a thread lists before they are decided."""

_STEPS = 8
"""Simple steps that a score takes, at least."""

_NO_FLOATS: NDArray[np.float32] = np.empty((0, 0), dtype=np.float32)
_NO_SUMS: NDArray[np.int32] = np.empty((3, 0, 0), dtype=np.int32)


@attrs.define(eq=False)
class _Panel:
    """The panel that a thread works on: some rows of a tile.

    Attributes:
        scratch: holds its products.
        products: of the rows from `row` on; ``order[start:stop]`` are the query-task pairs still to be counted. None =
            all are counted.
    """

    scratch: ScratchBuffer
    products: torch.Tensor | None = None
    row: int = 0
    start: int = 0
    stop: int = 0


class NumbaBackend:
    """Counts with compiled loops on the CPU; each worker multiplies a panel, counts it, and takes the next one."""

    def __init__(self, workers: Workers, columns: int) -> None:
        """Args: the threads, and the columns of the features."""
        few, many = _AT_ONCE
        self._rows = few if columns < _SHORT else many
        self._workers = workers
        self._scratch_buffers = [ScratchBuffer() for _ in range(workers.threads)]
        self.at_once = self._rows * workers.threads

    def count(
        self, tile: Tile, query_tasks: QueryTasks, bounds: Bounds, candidates: Candidates
    ) -> Iterator[UncertainPairs]:
        """See `crbench.ranking.backends.interface.CountingBackend`."""
        items, order = len(tile.terms), np.argsort(query_tasks.rows.numpy(), kind="stable")
        rows = query_tasks.rows.numpy()[order]
        arrays = _arrays(tile, query_tasks, bounds, candidates)
        left = self._workers.panels(len(tile.rows), items * _STEPS, self._rows)[::-1]
        panels = [_Panel(scratch) for scratch in self._scratch_buffers[: len(left)]]

        def go_on(panel: _Panel) -> NDArray[np.int64]:
            """Count panel after panel until none is left, or the list of uncertain pairs is full."""
            uncertain, filled = np.empty((4, max(_UNCERTAIN, items)), dtype=np.int64), 0
            while panel.products is not None or left:
                if panel.products is None:
                    try:
                        some = left.pop()
                    except IndexError:  # Another thread was faster.
                        break
                    panel.row, panel.products = some.start, tile.products(some, panel.scratch)
                    panel.start, panel.stop = np.searchsorted(rows, (some.start, some.stop))
                products = panel.products.numpy()
                both = (products, _NO_SUMS) if products.ndim == 2 else (_NO_FLOATS, products)
                panel.start, filled = numba_loops.count(
                    panel.start, panel.stop, order, panel.row, *both, *arrays, uncertain, filled
                )
                if panel.start < panel.stop:
                    break
                panel.products = None  # Their memory is for the next panel.
            return uncertain[:, :filled]

        while left or any(panel.products is not None for panel in panels):
            uncertain = np.concatenate(self._workers.run(go_on, [(panel,) for panel in panels]), axis=1)
            # Whoever decides these pairs reads a gallery row for each. Sorted by item, a row is read from memory once.
            yield UncertainPairs(*torch.from_numpy(uncertain.take(np.argsort(uncertain[1]), axis=1)))

    def dots(
        self, a: torch.Tensor, b: torch.Tensor, rows: torch.Tensor, items: torch.Tensor, columns: int
    ) -> torch.Tensor:
        """See `crbench.ranking.backends.interface.CountingBackend`."""
        found: NDArray[np.float64] = np.empty(len(rows))
        arrays = [part.numpy() for part in (a, b, rows, items)]
        self._workers.share(
            lambda start, stop: numba_loops.dots(start, stop, *arrays, columns, found), len(rows), columns
        )
        return torch.from_numpy(found)

    def decide(
        self,
        query_tasks: QueryTasks,
        uncertain: UncertainPairs,
        approximate: ApproximateDistances,
        limits: ApproximateDistances,
        columns: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `crbench.ranking.backends.interface.CountingBackend`."""
        parts = [uncertain.query_tasks, uncertain.items, uncertain.first, uncertain.last]
        parts += [approximate.distances, approximate.errors, limits.distances, limits.errors]
        parts += [query_tasks.tasks, query_tasks.first, query_tasks.slots, query_tasks.widths]
        parts += [query_tasks.count_diffs, columns]
        left = torch.empty(2, int((uncertain.last - uncertain.first).sum()), dtype=torch.int64)
        filled = numba_loops.decide(*(part.numpy() for part in (*parts, left)))
        places, positives = left[:, :filled]
        return places, positives

    def add_up(self, query_tasks: QueryTasks) -> None:
        """See `crbench.ranking.backends.interface.CountingBackend`."""
        parts = [query_tasks.first, query_tasks.slots, query_tasks.widths, query_tasks.count_diffs]
        arrays, count = [part.numpy() for part in parts], len(query_tasks.rows)
        each = query_tasks.count_diffs.numel() // count
        self._workers.share(lambda start, stop: numba_loops.add_up(start, stop, *arrays), count, each)


def _arrays(tile: Tile, query_tasks: QueryTasks, bounds: Bounds, candidates: Candidates) -> list[NDArray[Any]]:
    """The arguments of `numba_loops.count` that are the same for all panels of a tile."""
    parts = [tile.rows, tile.factors, tile.terms + candidates.masks, tile.labels, tile.by_label]
    parts += [query_tasks.tasks, query_tasks.rows, query_tasks.labels, query_tasks.first]
    parts += [query_tasks.slots, query_tasks.widths, query_tasks.count_diffs]
    return [part.numpy() for part in (*parts, bounds.lower, bounds.upper, candidates.columns)]
