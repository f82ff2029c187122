"""The counter for the CPU: compiled loops, with rows shared out to as many threads as torch uses."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from crbench.ranking.backends import numba_loops
from crbench.ranking.backends.interface import Askers, Bounds, Candidates, Doubts, Near, Tile
from crbench.ranking.threads import Room, Workers

_AT_ONCE = (384, 640)
"""Most rows that a thread multiplies before it counts, of short features and of long ones. Products of few rows are
still in the cache, which matters where counting is a large part; for many, a library packs a tile's items less often.
"""

_SHORT = 1024
"""Features of fewer columns are short."""

_DOUBTS = 1 << 15
"""Doubts handed over in one go, per thread."""

_STEPS = 8
"""Simple steps per score, at least."""

_NO_FLOATS: NDArray[np.float32] = np.empty((0, 0), dtype=np.float32)
_NO_SUMS: NDArray[np.int32] = np.empty((3, 0, 0), dtype=np.int32)


@attrs.define(eq=False)
class _Band:
    """Some rows of a tile that a thread works on.

    Attributes:
        room: for its products.
        products: of rows from `row` on, to be counted for the askers ``order[start:stop]``; None = counted for all.
    """

    room: Room
    products: torch.Tensor | None = None
    row: int = 0
    start: int = 0
    stop: int = 0


class CompiledCounter:
    """Counts with compiled loops on the CPU; each worker multiplies some rows, counts them, and takes others."""

    def __init__(self, workers: Workers, columns: int) -> None:
        """Args: the threads, and the columns of the features."""
        few, many = _AT_ONCE
        self._rows = few if columns < _SHORT else many
        self._workers = workers
        self._rooms = [Room() for _ in range(workers.threads)]
        self.at_once = self._rows * workers.threads

    def count(self, tile: Tile, askers: Askers, bounds: Bounds, candidates: Candidates) -> Iterator[Doubts]:
        """See `crbench.ranking.backends.interface.Counter`."""
        items, order = len(tile.terms), np.argsort(askers.rows.numpy(), kind="stable")
        rows = askers.rows.numpy()[order]
        parts = [tile.rows, tile.factors, tile.terms + candidates.masks, tile.pids, tile.by_pid]
        parts += [askers.tasks, askers.rows, askers.pids, askers.first, askers.slots, askers.widths, askers.leaps]
        arrays = [part.numpy() for part in (*parts, bounds.low, bounds.high, candidates.columns)]

        left = self._workers.bands(len(tile.rows), items * _STEPS, self._rows)[::-1]
        bands = [_Band(room) for room in self._rooms[: len(left)]]

        def go_on(band: _Band) -> NDArray[np.int64]:
            """Take rows that are left until there are none, or no room for doubts."""
            doubts, filled = np.empty((4, max(_DOUBTS, items)), dtype=np.int64), 0
            while band.products is not None or left:
                if band.products is None:
                    try:
                        some = left.pop()
                    except IndexError:  # another thread was faster
                        break
                    band.row, band.products = some.start, tile.products(some, band.room)
                    band.start, band.stop = np.searchsorted(rows, (some.start, some.stop))
                products = band.products.numpy()
                both = (products, _NO_SUMS) if products.ndim == 2 else (_NO_FLOATS, products)
                band.start, filled = numba_loops.count(
                    band.start, band.stop, order, band.row, *both, *arrays, doubts, filled
                )
                if band.start < band.stop:
                    break
                band.products = None  # their memory is for the next ones
            return doubts[:, :filled]

        while left or any(band.products is not None for band in bands):
            doubts = np.concatenate(self._workers.run(go_on, [(band,) for band in bands]), axis=1)
            # item by item, as rows are read from memory to decide, and those of the gallery are the more
            yield Doubts(*torch.from_numpy(doubts.take(np.argsort(doubts[1]), axis=1)))

    def dots(
        self, a: torch.Tensor, b: torch.Tensor, rows: torch.Tensor, items: torch.Tensor, columns: int
    ) -> torch.Tensor:
        """See `crbench.ranking.backends.interface.Counter`."""
        found: NDArray[np.float64] = np.empty(len(rows))
        arrays = [part.numpy() for part in (a, b, rows, items)]
        self._workers.share(
            lambda start, stop: numba_loops.dots(start, stop, *arrays, columns, found), len(rows), columns
        )
        return torch.from_numpy(found)

    def decide(
        self, askers: Askers, doubts: Doubts, near: Near, limits: Near, columns: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `crbench.ranking.backends.interface.Counter`."""
        parts = [doubts.askers, doubts.items, doubts.first, doubts.last]
        parts += [near.distances, near.errors, limits.distances, limits.errors]
        parts += [askers.tasks, askers.first, askers.slots, askers.widths, askers.leaps, columns]
        left = torch.empty(2, int((doubts.last - doubts.first).sum()), dtype=torch.int64)
        filled = numba_loops.decide(*(part.numpy() for part in (*parts, left)))
        pairs, positives = left[:, :filled]
        return pairs, positives

    def add_up(self, askers: Askers) -> None:
        """See `crbench.ranking.backends.interface.Counter`."""
        arrays = [part.numpy() for part in (askers.first, askers.slots, askers.widths, askers.leaps)]
        count = len(askers.rows)
        self._workers.share(
            lambda start, stop: numba_loops.add_up(start, stop, *arrays), count, askers.leaps.numel() // count
        )
