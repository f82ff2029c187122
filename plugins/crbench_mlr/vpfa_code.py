"""Splits as VPFA's public preprocessing scripts make them, drawn from named streams instead of file order.

Facts from ``ashmentlzw/VPFA``, folder ``dataset_preprocessing``. See README.md for what these splits measure.
"""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.api import EvalProtocol, Index, Samples, Split, choices, draw_split, lr_cameras, with_drawn_rates


def folder_split(index: Index, protocol: EvalProtocol, trial: int) -> Split:
    """Query and gallery folder each with its own LR camera per identity (the scripts for Market-1501 and VIPeR).

    With official folders, an identity that one camera sees in a folder stays HR there. Without them (VIPeR), query and
    gallery hold one camera each, which is the only one to draw: both become LR. Training rows stay HR, as the features
    for VPFA come from copies of all training images at every rate.

    Raises:
        ConfigError, DataError: as `crbench.api.draw_split`.
    """
    official = protocol.split.query == "official"
    split = draw_split(index, protocol.changed(lr_camera="none" if official else "fixed:1"), trial)
    stream = f"{index.name}|trial {trial}"
    return attrs.evolve(
        split,
        query=_shrink(split.query, protocol, f"{stream}|query", lone_cameras=not official),
        gallery=_shrink(split.gallery, protocol, f"{stream}|gallery", lone_cameras=not official),
    )


def one_query_split(index: Index, protocol: EvalProtocol, trial: int) -> Split:
    """One random first-camera image per test identity as query, all test images as gallery (the CAVIAR script).

    Where images are of tracklets, a tracklet is drawn. Whom the first camera did not see is not asked for, and neither
    are junk and distractors that the gallery keeps.

    Raises:
        ConfigError, DataError: as `crbench.api.draw_split`.
    """
    split = draw_split(index, protocol, trial)
    pool = _pooled(split)
    items, item = pool.items()
    people = _pooled(draw_split(index, protocol.changed(junk="drop", distractors="drop"), trial)).pids
    first_camera = items.camids == items.camids[np.isin(items.pids, people)].min()
    picks = []
    for pid in np.unique(people):
        seen = np.flatnonzero((items.pids == pid) & first_camera)
        if len(seen):
            picks.append(seen[choices(f"{index.name}|trial {trial}|query picture", [pid], len(seen))[0]])
    order = [row for pick in picks for row in np.flatnonzero(item == pick)]
    return attrs.evolve(split, query=pool.take(np.array(order, dtype=np.intp)), gallery=pool)


def _pooled(split: Split) -> Samples:
    """All test rows, in the order of their keys."""
    sides = split.query, split.gallery
    pool = Samples.concat(sides)
    if all(side.groups is not None for side in sides):
        pool = attrs.evolve(pool, groups=np.concatenate([side.groups for side in sides if side.groups is not None]))
    return pool.take(np.argsort(pool.keys, kind="stable"))


def _shrink(rows: Samples, protocol: EvalProtocol, stream: str, *, lone_cameras: bool) -> Samples:
    """The rows of one folder, those of each identity's LR camera at a drawn rate."""
    lr = rows.camids == lr_cameras(rows, "per-id", stream)
    if not lone_cameras:
        lr &= _camera_counts(rows) > 1
    drawn = with_drawn_rates(rows, protocol, stream).rates
    return attrs.evolve(rows, rates=np.where(lr, drawn, np.float32(1)))


def _camera_counts(rows: Samples) -> NDArray[np.intp]:
    """For each row, how many cameras see its identity in `rows`."""
    pairs = np.unique(np.stack([rows.pids, rows.camids]), axis=1)
    people, counts = np.unique(pairs[0], return_counts=True)
    return np.asarray(counts[np.searchsorted(people, rows.pids)])
