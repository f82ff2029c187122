"""The authors' ``cuhk-03.mat``: a MATLAB 7.3 file, read as HDF5.

Its cell arrays are arrays of references, and every array is transposed: ``detected`` and ``labeled`` refer to five
camera pairs, each pair to ten images (five per view, some empty) of every person; ``testsets`` refers to 20 lists of
(pair, person), counted from 1.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.api import ImageFile, StoredImage, check_input, count_images, image_digest, make_index
from crbench.errors import DataError
from crbench_mlr.folders import child
from crbench_mlr.inventory import Inventory

PAIRS = (843, 440, 77, 58, 49)
"""Identities of the five camera pairs."""

_VIEW_IMAGES = 5


def first_pid(pair: int) -> int:
    """The pid of the first person of camera pair `pair` (from 1); pids run from 1 to 1467 over the pairs.

    Example:
        >>> first_pid(1), first_pid(5)
        (1, 1419)
    """
    return 1 + sum(PAIRS[: pair - 1])


@attrs.frozen(eq=False)
class MatFile:
    """The images of an open file by key; one thread reads at a time, as HDF5 demands."""

    path: Path
    file: Any
    references: dict[str, Any]
    known: dict[str, tuple[tuple[int, int], str]] = attrs.field(factory=dict)
    lock: Any = attrs.field(factory=Lock)

    def image(self, key: str) -> StoredImage:
        """The image in RGB, with the digest of its pixels."""
        import PIL.Image

        pixels = self._pixels(key)
        return StoredImage(PIL.Image.fromarray(pixels), image_digest(pixels.tobytes()))

    def digest(self, key: str) -> str:
        """16 hex digits of BLAKE2b over its pixels, row by row; read again only where the file has changed."""
        status = self.path.stat()
        state = (status.st_size, status.st_mtime_ns)
        if self.known.get(key, (None, ""))[0] != state:
            self.known[key] = (state, image_digest(self._pixels(key).tobytes()))
        return self.known[key][1]

    def _pixels(self, key: str) -> NDArray[np.uint8]:
        if key not in self.references:
            raise DataError(f"there is no image {key!r} in {self.path}")
        try:
            with self.lock:
                stored = self.file[self.references[key]][:]
        except (OSError, ValueError) as error:
            raise DataError(f"{self.path}: image {key} cannot be read: {error}") from error
        if stored.dtype != np.uint8 or stored.shape[0] != 3:
            raise DataError(
                f"{self.path}: image {key} is {stored.dtype}{list(stored.shape)}; expected uint8[3, width, height]"
            )
        return np.ascontiguousarray(stored.T)


def scan_mat(folder: Path, *, boxes: tuple[str, ...]) -> Inventory:
    """The images of ``cuhk-03.mat``, under the keys that they have when torchreid extracts them.

    Raises:
        DataError: the file cannot be read, or is not built as expected.
    """
    import h5py  # `crbench data list` asks all data sets where they are, and needs no images

    path = child(folder, "cuhk-03.mat")
    check_input(path)
    references: dict[str, Any] = {}
    try:
        file = h5py.File(path, "r")
        listed = [image for box in boxes for image in _list_boxes(file, path, box, references)]
        test_sets = tuple(_test_set(file[reference][:]) for reference in _cells(file["testsets"]))
    except (OSError, KeyError, AttributeError, TypeError, ValueError, IndexError) as error:
        raise DataError(
            f"{path}: not the CUHK03 file (MATLAB 7.3 with detected, labeled, testsets): {error}"
        ) from error
    if not listed:
        raise DataError(f"{path}: it holds no images")
    index = make_index("cuhk03", sorted(listed, key=lambda image: image.key))
    return Inventory(index, MatFile(path, file, references), count_images(index), test_sets=test_sets)


def _list_boxes(file: Any, path: Path, box: str, references: dict[str, Any]) -> list[ImageFile]:
    """Images of one kind of box; their references are added to `references`."""
    listed = []
    for pair, pair_reference in enumerate(_cells(file[box]), start=1):
        people = file[pair_reference][:].T
        if pair > len(PAIRS) or len(people) > PAIRS[pair - 1]:
            raise ValueError(f"{len(people)} identities in camera pair {pair} of {box}, expected {list(PAIRS)}")
        for person, cells in enumerate(people, start=1):
            for number, reference in enumerate(cells, start=1):
                if file[reference].ndim < 3:
                    continue  # MATLAB stores an empty cell as its shape
                view = 1 if number <= _VIEW_IMAGES else 2
                key = f"images_{box}/{pair}_{person:03d}_{view}_{number:02d}.png"
                references[key] = reference
                listed.append(ImageFile(key, path, first_pid(pair) + person - 1, view))
    return listed


def _cells(dataset: Any) -> list[Any]:
    """The references of a MATLAB cell vector."""
    return list(dataset[:].ravel())


def _test_set(stored: NDArray[Any]) -> NDArray[np.int64]:
    """Pids of an official test set, stored as (2, n): camera pair and person."""
    pairs, people = np.asarray(stored).astype(np.int64)
    return np.array([first_pid(pair) + person - 1 for pair, person in zip(pairs, people, strict=True)], dtype=np.int64)
