"""What a scan of a data set's folder gives: the index of its images and the way to their bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.data.decode import read_rgb
from crbench.data.splits import Index
from crbench.errors import DataError
from crbench.records import Samples
from crbench_mlr.folders import is_image

if TYPE_CHECKING:
    from PIL.Image import Image


class Source(Protocol):
    """Where the pixels are; thread-safe."""

    def image(self, key: str) -> Image:
        """The stored image in RGB."""

    def digest(self, key: str) -> str:
        """16 hex digits of BLAKE2b over its stored bytes."""


@attrs.frozen
class ImageFile:
    """One file of a data set; `role` is one of `crbench.data.splits.ROLES`."""

    key: str
    path: Path
    pid: int
    camid: int
    role: str = "any"


@attrs.frozen(eq=False)
class Files:
    """Images that are files, by key."""

    paths: Mapping[str, Path]

    def image(self, key: str) -> Image:
        """The stored image in RGB."""
        return read_rgb(self._path(key))

    def digest(self, key: str) -> str:
        """16 hex digits of BLAKE2b over the file's bytes."""
        path = self._path(key)
        try:
            return content_digest(path.read_bytes())
        except OSError as error:
            raise DataError(f"{path}: cannot be opened: {error.strerror or error}") from error

    def _path(self, key: str) -> Path:
        try:
            return self.paths[key]
        except KeyError:
            raise DataError(f"there is no image {key!r} in this data set") from None


@attrs.frozen(eq=False)
class Inventory:
    """What is there.

    Attributes:
        index: the images that splits are drawn from, in order of their keys.
        source: gives their pixels.
        figures: counts of what was found, with the names of `crbench.data.info.DatasetInfo.counts`.
        notes: what was left out of the index, and how often; becomes part of every split's notes.
        missing: what lists or the other camera promise and the folder does not hold.
        extra: files that do not belong.
        test_sets: official test identities by trial, where there are several such sets (CUHK03).
    """

    index: Index
    source: Source
    figures: Mapping[str, int]
    notes: Mapping[str, int] = attrs.field(factory=dict)
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    test_sets: tuple[NDArray[np.int64], ...] = ()


def from_images(
    name: str, found: Iterable[ImageFile], *, others: Iterable[Path] = (), missing: Iterable[str] = ()
) -> Inventory:
    """The inventory of images that are files.

    Args:
        name: the source data set; part of every random draw.
        others: files that were passed over; those that look like images are counted in the notes.

    Raises:
        DataError: there is no image.
    """
    listed = sorted(found, key=lambda image: image.key)
    if not listed:
        raise DataError(f"{name}: the folders are there, but they hold no images")
    index = make_index(name, listed)
    passed_over = sorted(others)
    unnamed = sum(is_image(path) for path in passed_over)
    return Inventory(
        index=index,
        source=Files({image.key: image.path for image in listed}),
        figures=figures(index),
        notes={"images with an unknown name": unnamed} if unnamed else {},
        missing=tuple(missing),
        extra=tuple(str(path) for path in passed_over),
    )


def make_index(name: str, listed: Iterable[ImageFile]) -> Index:
    """The index of images, in the order given."""
    listed = list(listed)
    rows = Samples(
        keys=[image.key for image in listed],
        pids=[image.pid for image in listed],
        camids=np.array([image.camid for image in listed], dtype=np.int64),
    )
    return Index(name=name, rows=rows, roles=np.array([image.role for image in listed], dtype=np.str_))


def figures(index: Index) -> dict[str, int]:
    """Counts of an index: by official folder where there are such folders, over all images otherwise."""
    pids, roles = index.rows.pids, index.roles
    cameras = {"cameras": len(np.unique(index.rows.camids))}
    if np.all(roles == "any"):
        return {"images": len(pids), "identities": len(np.unique(pids)), **cameras}
    query_pids = np.unique(pids[(roles == "query") & (pids > 0)])
    gallery_pids = np.unique(pids[(roles == "gallery") & (pids > 0)])
    return {
        "train images": int((roles == "train").sum()),
        "train identities": len(np.unique(pids[(roles == "train") & (pids > 0)])),
        "query images": int((roles == "query").sum()),
        "gallery images": int(((roles == "gallery") & (pids >= 0)).sum()),
        "junk images": int((pids == -1).sum()),
        "test identities": len(query_pids),
        "distractor identities": len(np.setdiff1d(gallery_pids, query_pids)),
        **cameras,
    }


def content_digest(content: bytes) -> str:
    """16 hex digits of BLAKE2b."""
    return hashlib.blake2b(content, digest_size=8).hexdigest()
