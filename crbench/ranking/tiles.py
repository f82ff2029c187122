"""Gallery items of one tile: which rows, whose images, and for which tasks they may be ahead of a positive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import attrs
import numpy as np
import torch

from crbench.ranking.backends.interface import Candidates
from crbench.ranking.filter import DistanceRows, FeatureRows, Items
from crbench.ranking.interface import RankInputs, RankTask
from crbench.ranking.positives import on_device, slice_or_rows
from crbench.ranking.tiling import item_tiles


@attrs.frozen(eq=False)
class TileItems:
    """The items of a tile.

    Attributes:
        items: as they are multiplied.
        rows, pids: i64[g].
        by_pid: i64[g], their places in the order of their pids.
        candidates: see there.
    """

    items: Items
    rows: torch.Tensor
    pids: torch.Tensor
    by_pid: torch.Tensor
    candidates: Candidates


def tiles(tasks: Sequence[RankTask], inputs: RankInputs, most: int) -> Iterator[TileItems]:
    """The gallery in tiles of at most so many items; see `crbench.ranking.tiling.item_tiles`."""
    columns = np.full((len(tasks), len(inputs.gallery)), -1, dtype=np.int32)
    for task, column in zip(tasks, columns, strict=True):
        column[task.candidates] = task.columns
    for rows in item_tiles(tasks, inputs, most):
        pids = on_device(inputs.gallery.rows.pids[rows], inputs.device)
        mine = on_device(columns.take(rows, axis=1), inputs.device)
        yield TileItems(
            items=Items(slice_or_rows(rows, inputs.device), int(inputs.gallery_dims[rows[0]])),
            rows=on_device(rows, inputs.device),
            pids=pids,
            by_pid=pids.argsort(),
            candidates=Candidates(torch.where(mine < 0, torch.nan, torch.zeros(1, device=inputs.device)), mine),
        )


def announced(parts: Iterable[TileItems], rows: FeatureRows | DistanceRows) -> Iterator[TileItems]:
    """The tiles, each of which is got ready before it is given."""
    for part in parts:
        rows.prefetch(part.items)
        yield part
