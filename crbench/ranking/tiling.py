"""How the tiled engine cuts its work: blocks of queries and tiles of gallery items that fit into a memory budget."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from crbench.ranking.backends.interface import Candidates
from crbench.ranking.block import Items, QueryBlock
from crbench.ranking.interface import RankInputs, RankTask
from crbench.ranking.positives import on_device, slice_or_rows
from crbench.ranking.threads import even_slices

_T = TypeVar("_T")

CPU_SIDES = (4096, 4096)
"""Most queries and items of a tile; with fewer queries, a product packs the gallery more often."""

CUDA_SIDES = (16384, 65536)
"""Most queries and items of a tile. A device must have work for as long as its host needs to get the next tile ready,
about a millisecond for a hundred small operations."""

LEAST_QUERIES = 16

_QUERIES = 0.45
"""Share of a tile's memory that its queries may take, at most."""

_SCORE_BYTES = 12
"""Per score of a tile: itself, and the sums of which it is made."""

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
    def within(cls, memory: int, rows: tuple[int, int], most: tuple[int, int], at_once: int, counts: int) -> Sizes:
        """Sizes that fit: the counts that are needed, in half of the memory at most; tiles with a copy of their rows.

        Args:
            memory: bytes.
            rows: bytes of a query's copy, and of an item's.
            most: queries and items, whatever the memory.
            at_once: queries of which there are scores at the same time.
            counts: so many are needed for all queries.

        Example:
            >>> Sizes.within(64 << 20, rows=(8192, 4096), most=CPU_SIDES, at_once=1024, counts=1 << 20)
            Sizes(queries=2995, items=1830, counts=1048576)
        """
        counts = max(1, min(counts, memory // 2 // _COUNT_BYTES))
        free, (query, item) = memory - counts * _COUNT_BYTES, rows
        queries = min(most[0], max(LEAST_QUERIES, int(_QUERIES * free) // query))
        items = max(1, (free - queries * query) // (item + _SCORE_BYTES * min(queries, at_once)))
        return cls(queries=queries, items=min(most[1], items), counts=counts)


@attrs.frozen(eq=False)
class TileItems:
    """The gallery items of one tile.

    Attributes:
        items: as they are multiplied.
        rows, labels: i64[g].
        by_label: i64[g], their places in the order of their labels.
        candidates: for which tasks they may be ahead of a positive.
    """

    items: Items
    rows: torch.Tensor
    labels: torch.Tensor
    by_label: torch.Tensor
    candidates: Candidates


def counts_needed(tasks: Sequence[RankTask]) -> NDArray[np.intp]:
    """intp[q], counts for each query."""
    found: NDArray[np.intp] = np.sum([task.sizes * (task.width + _POSITIVE) for task in tasks], axis=0)
    return found


def query_blocks(tasks: Sequence[RankTask], dims: NDArray[np.int64], sizes: Sizes) -> Iterator[NDArray[np.intp]]:
    """Queries that have positives in any task, in blocks of equal dims and of a bounded number of counts."""
    counts = counts_needed(tasks)
    order = np.argsort(dims, kind="stable")
    order = order[counts[order] > 0]
    for same in np.split(order, np.flatnonzero(np.diff(dims[order])) + 1):
        upto = np.cumsum(counts[same])
        most = max((part.stop - part.start for part in even_slices(len(same), sizes.queries)), default=0)
        start = 0
        while start < len(same):
            before = upto[start - 1] if start else 0
            stop = min(start + most, int(np.searchsorted(upto, before + sizes.counts, side="right")))
            stop = max(stop, start + 1)
            yield same[start:stop]
            start = stop


def tiles(tasks: Sequence[RankTask], inputs: RankInputs, most: int) -> Iterator[TileItems]:
    """The gallery in tiles of at most so many items."""
    columns = np.full((len(tasks), len(inputs.gallery)), -1, dtype=np.int32)
    for task, column in zip(tasks, columns, strict=True):
        column[task.candidates] = task.columns
    for rows in _tile_rows(tasks, inputs, most):
        labels = on_device(inputs.gallery.labels[rows], inputs.device)
        mine = on_device(columns.take(rows, axis=1), inputs.device)
        yield TileItems(
            items=Items(slice_or_rows(rows, inputs.device), int(inputs.gallery.dims[rows[0]])),
            rows=on_device(rows, inputs.device),
            labels=labels,
            by_label=labels.argsort(),
            candidates=Candidates(torch.where(mine < 0, torch.nan, torch.zeros(1, device=inputs.device)), mine),
        )


def prefetched(parts: Iterable[TileItems], block: QueryBlock) -> Iterator[TileItems]:
    """The tiles, each of which is got ready before it is given."""
    for part in parts:
        block.prefetch(part.items)
        yield part


def ahead(items: Iterable[_T], lead: int) -> Iterator[_T]:
    """The items, each after `lead` following ones were made: a device works on these while one is made use of.

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


def _tile_rows(tasks: Sequence[RankTask], inputs: RankInputs, most: int) -> Iterator[NDArray[np.intp]]:
    """Gallery rows that are a candidate of any task, and perhaps a few between them, in tiles of equal dims."""
    wanted = np.zeros(len(inputs.gallery), dtype=np.bool_)
    for task in tasks:
        wanted[task.candidates] = True
    rows = np.flatnonzero(wanted)
    if len(rows) == 0:
        return
    if len(rows) >= _DENSE * (rows[-1] + 1 - rows[0]):
        rows = np.arange(rows[0], rows[-1] + 1)
    dims = inputs.gallery.dims[rows]
    if (dims != dims[0]).any():
        order = np.argsort(dims, kind="stable")
        rows, dims = rows[order], dims[order]
    for same in np.split(rows, np.flatnonzero(np.diff(dims)) + 1):
        yield from (same[some] for some in even_slices(len(same), most))
