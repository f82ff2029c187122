r"""Helpers for a data set: list its image files, and read them; `crbench.api.verification` looks at all of them.

A whole data set in a folder of the user's; with an entry in a hook ``crbench_datasets`` it is complete:

    >>> import re
    >>> from functools import cache
    >>> from crbench.api import (
    ...     DatasetInfo, EvalProtocol, ImageFile, ImageFiles, SplitRules,
    ...     digest_images, draw_split, match_images, verify_images,
    ... )
    >>> NAME = re.compile(r"(?P<pid>\d)_c(?P<camid>\d)\.png")
    >>> @cache
    ... def scan(folder):
    ...     matches, others = match_images(folder, NAME, example="1_c1.png")
    ...     return ImageFiles([ImageFile(path.name, path, int(m["pid"]), int(m["camid"])) for path, m in matches])
    >>> class Shop:
    ...     info = DatasetInfo(name="shop", title="Two cameras in a shop", counts={"images": 8, "cameras": 2})
    ...     protocols = {"mlr": EvalProtocol(split=SplitRules(identities="random:2/2", trials=2))}
    ...
    ...     def split(self, protocol, index, *, root):
    ...         return draw_split(scan(root / "shop").index("shop"), protocol, index)
    ...
    ...     def read(self, key, *, root):
    ...         return scan(root / "shop").image(key)
    ...
    ...     def digests(self, keys, *, root):
    ...         return digest_images(scan(root / "shop"), keys)
    ...
    ...     def verify(self, *, root, track):
    ...         files = scan(root / "shop")
    ...         return verify_images(self.info, root / "shop", files, files.index("shop"), track=track)

It keeps the contract, here on eight images in a temporary folder:

    >>> import tempfile
    >>> import PIL.Image
    >>> from crbench.api import no_progress
    >>> from crbench.testing import check_dataset
    >>> folder = tempfile.TemporaryDirectory()
    >>> root = Path(folder.name)
    >>> (root / "shop").mkdir()
    >>> for pid in range(1, 5):
    ...     for camid in (1, 2):
    ...         PIL.Image.new("RGB", (24, 48), (50 * pid, 90 * camid, 0)).save(root / "shop" / f"{pid}_c{camid}.png")
    >>> check_dataset(Shop, root)
    >>> split = Shop().split(Shop.protocols["mlr"], 0, root=root)
    >>> len(split.train), len(split.query), len(split.gallery)
    (4, 2, 2)
    >>> Shop().verify(root=root, track=no_progress).ok
    True
    >>> folder.cleanup()
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Protocol

import attrs
import numpy as np

from crbench.data.decode import StoredImage, image_digest, read_stored
from crbench.data.splits import Index
from crbench.errors import DataError
from crbench.inputs import is_utf8, read_input
from crbench.records import Samples

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp"})
_SHRUNK = re.compile(r"_\dx\.[a-z]+$", re.IGNORECASE)


class ImageSource(Protocol):
    """Where the pixels of a data set are, by key; thread-safe. `ImageFiles` is one."""

    def image(self, key: str) -> StoredImage:
        """The stored image in RGB, with the digest of what it was decoded from.

        Raises:
            DataError: there is no such image, or it cannot be read.
        """

    def digest(self, key: str) -> str:
        """A hash of what is stored now: equal images, equal hashes (see `image_digest`).

        Raises:
            DataError: as `image`.
        """


@attrs.frozen
class ImageFile:
    """One image file of a data set.

    Attributes:
        key: names the image within the data set, the same on every machine; best its path below the data set's folder.
        path: where the file is.
        pid: person from 1; 0 is a distractor and -1 junk, as in Market-1501.
        camid: camera.
        role: its official folder, one of `crbench.data.splits.ROLES`; ``any`` where there is no official split.
    """

    key: str
    path: Path
    pid: int
    camid: int
    role: str = "any"


def _by_key(files: Iterable[ImageFile]) -> tuple[ImageFile, ...]:
    return tuple(sorted(files, key=lambda file: file.key))


@attrs.frozen(slots=False, eq=False)
class ImageFiles:
    """The image files of a data set, sorted by key; an `ImageSource`.

    Example:
        >>> files = ImageFiles([ImageFile("b.png", Path("b.png"), 2, 1), ImageFile("a.png", Path("a.png"), 1, 1)])
        >>> files.index("shop").rows.keys.tolist()
        ['a.png', 'b.png']
    """

    listed: tuple[ImageFile, ...] = attrs.field(converter=_by_key)
    _known: dict[str, tuple[tuple[int, int], str]] = attrs.field(factory=dict, init=False, repr=False)

    def index(self, name: str) -> Index:
        """All images of the data set `name`, ready for `crbench.data.splits.draw_split`."""
        return make_index(name, self.listed)

    def image(self, key: str) -> StoredImage:
        """The stored image in RGB, upright, at its stored size, with the digest of its bytes.

        Raises:
            DataError: there is no such image, or it cannot be read; the message names the file.
        """
        return read_stored(self._path(key))

    def digest(self, key: str) -> str:
        """`image_digest` of the file's bytes; read again only where size or time of change differ.

        Raises:
            DataError: there is no such image, or it cannot be opened.
        """
        path = self._path(key)
        try:
            status = path.stat()
            state = (status.st_size, status.st_mtime_ns)
            if self._known.get(key, (None, ""))[0] != state:
                self._known[key] = (state, image_digest(read_input(path)))
        except OSError as error:
            raise DataError(f"{path}: cannot be opened: {error.strerror or error}") from error
        return self._known[key][1]

    @cached_property
    def _paths(self) -> Mapping[str, Path]:
        return {file.key: file.path for file in self.listed}

    def _path(self, key: str) -> Path:
        try:
            return self._paths[key]
        except KeyError:
            raise DataError(f"there is no image {key!r} in this data set") from None


def list_images(folder: Path) -> tuple[list[Path], list[Path]]:
    """Image files directly in a folder, and the other files there; both sorted by name.

    Hidden files (``._0001.jpg``, ``.DS_Store``) and ``Thumbs.db`` count as other files; folders are passed over.

    Raises:
        DataError: a name ends in ``_2x.jpg`` or the like, so the folder is a ready-made LR copy.
    """
    found, others = [], []
    for path in sorted(folder.iterdir()):
        if is_image(path):
            found.append(path)
        elif not path.is_dir():
            others.append(path)
    shrunk = next((path for path in found if _SHRUNK.search(path.name)), None)
    if shrunk is not None:
        raise DataError(
            f"{shrunk}: the suffix says that this is a ready-made LR copy; crbench makes LR images in memory, "
            "please give it the originals"
        )
    return found, others


def match_images(
    folder: Path, pattern: re.Pattern[str], example: str
) -> tuple[list[tuple[Path, re.Match[str]]], list[Path]]:
    """Images of a folder whose name matches `pattern` wholly, and all other files there; both sorted.

    Args:
        example: a name that matches, for messages.

    Raises:
        DataError: there are images, but none of them matches; or see `list_images`.
    """
    found, others = list_images(folder)
    matches = [(path, match) for path in found if (match := pattern.fullmatch(path.name))]
    if found and not matches:
        raise DataError(f"{folder}: no image is named like {example}; the first is {found[0].name}")
    matched = {path for path, _ in matches}
    return matches, sorted([*others, *(path for path in found if path not in matched)])


def is_image(path: Path) -> bool:
    """Whether a name is that of a JPEG, PNG or BMP file that a user put there; a system's hidden files are none.

    Example:
        >>> [is_image(Path(name)) for name in ("0001.JPG", "._0001.jpg", "readme.txt")]
        [True, False, False]
    """
    return path.suffix.lower() in _SUFFIXES and not path.name.startswith(".")


def make_index(name: str, listed: Iterable[ImageFile]) -> Index:
    """The index of images, in the order given; `crbench.data.splits.draw_split` draws splits from it.

    Args:
        name: the source data set; part of every random draw.

    Raises:
        DataError: a key is not UTF-8, so that no list could name it.
    """
    listed = list(listed)
    unnameable = next((image for image in listed if not is_utf8(image.key)), None)
    if unnameable is not None:
        raise DataError(f"{unnameable.path}: the name is not UTF-8; rename the file or folder")
    rows = Samples(
        keys=[image.key for image in listed],
        pids=[image.pid for image in listed],
        camids=np.array([image.camid for image in listed], dtype=np.int64),
    )
    return Index(name=name, rows=rows, roles=np.array([image.role for image in listed], dtype=np.str_))
