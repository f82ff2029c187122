"""How a tiled engine cuts its work: blocks of queries and tiles of gallery items that fit into a memory budget."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.evaluation.task import Inputs, Task
from crbench.evaluation.workers import pieces

_T = TypeVar("_T")

CPU_SIDES = (2048, 4096)
"""Most queries and items of a tile; fewer queries are slower, as a product packs the gallery anew for each block."""

CUDA_SIDES = (16384, 65536)
"""Most queries and items of a tile: a device must have work for as long as its host needs to get the next tile ready,
about a millisecond for a hundred small operations."""

LEAST_QUERIES = 16
_SCORE_BYTES = 4
_SCRATCH_BYTES = 12
"""Per score of a tile that is in the making."""

_COUNT_BYTES = 12
"""Per positive of a block and column: its count, and what is made of it."""

_POSITIVE = 6
"""What is kept of a positive besides, distances and bounds, weighs as much as so many counts."""

_DENSE = 0.75
"""A range of rows of which that share is wanted is taken as it is: the others are masked, and nothing is copied."""


@attrs.frozen
class Sizes:
    """Most queries and items of a tile, and most counts of a block of queries."""

    queries: int
    items: int
    counts: int

    @classmethod
    def within(cls, memory: int, columns: int, scratch: int, most: tuple[int, int]) -> Sizes:
        """Sizes that fit: half of the memory for counts, half for tiles with a copy of their rows.

        Args:
            scratch: bytes that suffice for what is in the making, however large a tile.
            most: queries and items.

        Example:
            >>> Sizes.within(128 << 20, 2048, scratch=8 << 20, most=CPU_SIDES)
            Sizes(queries=2048, items=2560, counts=5592405)
        """
        room, row = memory // 2, 4 * columns
        queries = min(most[0], max(LEAST_QUERIES, room // 4 // row))
        left, score = room - queries * row, _SCORE_BYTES * queries
        items = max(left // (row + score + _SCRATCH_BYTES * queries), (left - scratch) // (row + score), 1)
        return cls(queries=queries, items=min(most[1], items), counts=max(1, room // _COUNT_BYTES))


def query_blocks(tasks: Sequence[Task], dims: NDArray[np.int64], sizes: Sizes) -> Iterator[NDArray[np.intp]]:
    """Queries that have positives in any task, in blocks of equal dims and of a bounded number of counts."""
    counts = np.sum([task.sizes * (task.width + _POSITIVE) for task in tasks], axis=0)
    order = np.argsort(dims, kind="stable")
    order = order[counts[order] > 0]
    for same in np.split(order, np.flatnonzero(np.diff(dims[order])) + 1):
        upto = np.cumsum(counts[same])
        most = max((part.stop - part.start for part in pieces(len(same), sizes.queries)), default=0)
        start = 0
        while start < len(same):
            before = upto[start - 1] if start else 0
            stop = min(start + most, int(np.searchsorted(upto, before + sizes.counts, side="right")))
            stop = max(stop, start + 1)
            yield same[start:stop]
            start = stop


def item_tiles(tasks: Sequence[Task], inputs: Inputs, items: int) -> Iterator[NDArray[np.intp]]:
    """Gallery rows that are a candidate of any task, and perhaps a few between them, in tiles of equal dims."""
    wanted = np.zeros(len(inputs.gallery), dtype=np.bool_)
    for task in tasks:
        wanted[task.candidates] = True
    rows = np.flatnonzero(wanted)
    if len(rows) == 0:
        return
    if len(rows) >= _DENSE * (rows[-1] + 1 - rows[0]):
        rows = np.arange(rows[0], rows[-1] + 1)
    dims = inputs.gallery_dims[rows]
    if (dims != dims[0]).any():
        order = np.argsort(dims, kind="stable")
        rows, dims = rows[order], dims[order]
    for same in np.split(rows, np.flatnonzero(np.diff(dims)) + 1):
        yield from (same[some] for some in pieces(len(same), items))


def ahead(items: Iterable[_T], lead: int) -> Iterator[_T]:
    """The items, each after so many that follow it were made: a device works on these while one is made use of.

    Example:
        >>> made = (print("made", number) or number for number in range(3))
        >>> for number in ahead(made, 1):
        ...     print("used", number)
        made 0
        made 1
        used 0
        made 2
        used 1
        used 2
    """
    waiting: deque[_T] = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) > lead:
            yield waiting.popleft()
    yield from waiting
