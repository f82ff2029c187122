"""Queries that are in the gallery too: a mistake that makes every score look better than it is, unless it is known."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.evaluation.masks import UNKNOWN_CAMERA, image_numbers
from crbench.records import Features, Samples


@attrs.frozen(eq=False)
class Overlap:
    """What is of note in a gallery, or in a part of it.

    Attributes:
        own: bool[q], see `own_images`.
        copied: bool[q], see `copied_queries`.
        unknown_cameras: of all its images.
    """

    own: NDArray[np.bool_]
    copied: NDArray[np.bool_]
    unknown_cameras: bool

    @classmethod
    def of(cls, query: Features, gallery: Features, *, same_camera: str) -> Overlap:
        """Args: see `copied_queries`."""
        copied = copied_queries(query, gallery, same_camera=same_camera)
        return cls(own_images(query.rows, gallery.rows), copied, bool((gallery.rows.camids == UNKNOWN_CAMERA).all()))

    @classmethod
    def joined(cls, parts: Sequence[Overlap]) -> Overlap:
        """Of all parts of a gallery."""
        return cls(
            np.any([part.own for part in parts], axis=0),
            np.any([part.copied for part in parts], axis=0),
            all(part.unknown_cameras for part in parts),
        )


def own_images(query: Samples, gallery: Samples) -> NDArray[np.bool_]:
    """bool[q], which queries are in the gallery too, as the same image; `evaluate` keeps them apart.

    Example:
        >>> own_images(Samples(keys=["a", "b"], pids=[1, 2]), Samples(keys=["b", "c"], pids=[2, 1])).tolist()
        [False, True]
    """
    images = image_numbers(query, gallery)
    if images is None:
        return np.zeros(len(query), dtype=np.bool_)
    there = set(zip(images[1].tolist(), gallery.pids.tolist(), strict=True))
    return np.array([row in there for row in zip(images[0].tolist(), query.pids.tolist(), strict=True)], dtype=np.bool_)


def copied_queries(query: Features, gallery: Features, *, same_camera: str) -> NDArray[np.bool_]:
    """bool[q], which queries have a match with the very same features, as where the query's image is in the gallery.

    Args:
        query, gallery: features in host memory.
        same_camera: the protocol's rule; with ``ignore``, what it removes is no match. Nor is the query's own image.
    """
    x, y = query.x.numpy(), gallery.x.numpy()
    images = image_numbers(query.rows, gallery.rows)
    own, theirs = (np.full(len(query), -2), np.full(len(gallery), -1)) if images is None else images
    found: dict[tuple[int, bytes], set[tuple[int, int]]] = {}
    # A row is hashed only where its first value occurs among the queries.
    for row in np.flatnonzero(np.isin(y[:, 0], x[:, 0])).tolist():
        seen = int(gallery.rows.camids[row]), int(theirs[row])
        found.setdefault((int(gallery.rows.pids[row]), y[row].tobytes()), set()).add(seen)
    copied = np.zeros(len(query), dtype=np.bool_)
    for row, (pid, camera) in enumerate(zip(query.rows.pids.tolist(), query.rows.camids.tolist(), strict=True)):
        removed = camera if same_camera == "ignore" and camera != -1 else None
        copies = found.get((pid, x[row].tobytes()), set())
        copied[row] = any(other != removed and image != own[row] for other, image in copies)
    return copied
