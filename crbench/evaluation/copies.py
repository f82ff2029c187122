"""Queries that are in the gallery too: a mistake that makes every score look better than it is."""

from __future__ import annotations

import numpy as np

from crbench.records import Features


def copied_queries(query: Features, gallery: Features, *, same_camera: str) -> int:
    """How many queries have a match with the very same features, as where the query's image is in the gallery.

    Args:
        query, gallery: features in host memory.
        same_camera: the protocol's rule; with ``ignore``, what it removes is no match.
    """
    x, y = query.x.numpy(), gallery.x.numpy()
    cameras: dict[tuple[int, bytes], set[int]] = {}
    # A row is hashed only where its first value occurs among the queries.
    for row in np.flatnonzero(np.isin(y[:, 0], x[:, 0])).tolist():
        found = cameras.setdefault((int(gallery.rows.pids[row]), y[row].tobytes()), set())
        found.add(int(gallery.rows.camids[row]))
    count = 0
    for row, (pid, camera) in enumerate(zip(query.rows.pids.tolist(), query.rows.camids.tolist(), strict=True)):
        removed = {camera} if same_camera == "ignore" and camera != -1 else set()
        count += bool(cameras.get((pid, x[row].tobytes()), set()) - removed)
    return count
