"""Near copies among images: re-encoded or slightly resized ones, and frames of a person who stands still.

Two images are near copies if at most `BITS` of the 64 bits of their difference hashes differ, and the values of their
thumbnails of 8x16 RGB pixels differ by `LEVELS` of 255 at most on average. The difference hash (dHash) has a bit for
each two neighbours in a row of a grey thumbnail of 9x8 pixels: whether the left one is brighter.
"""

from __future__ import annotations

from collections.abc import Iterator
from threading import Lock

import attrs
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from crbench.api import ImageSource, StoredImage

BITS, LEVELS = 3, 4.0
MEASURE = f"difference hash within {BITS} of 64 bits and 8x16 thumbnails within {LEVELS:g} of 255 levels"

_HASH_SIZE, _THUMBNAIL_SIZE = (9, 8), (8, 16)
_BANDS = BITS + 1
"""Hashes that differ in fewer bits than there are bands agree in one band wholly, so only such pairs are compared."""


@attrs.frozen(eq=False)
class Look:
    """What is kept of an image: width and height in pixels, difference hash u16[4], thumbnail i16[384]."""

    size: tuple[int, int]
    bands: NDArray[np.uint16]
    thumbnail: NDArray[np.int16]

    @classmethod
    def of(cls, image: PIL.Image.Image) -> Look:
        """The look of an RGB image.

        Example:
            >>> Look.of(PIL.Image.linear_gradient("L").convert("RGB")).bands.tolist()
            [0, 0, 0, 0]
        """
        kernel = PIL.Image.Resampling.BOX
        grey = np.asarray(image.convert("L").resize(_HASH_SIZE, kernel))
        bits = np.packbits(grey[:, :-1] > grey[:, 1:])
        colours = np.asarray(image.resize(_THUMBNAIL_SIZE, kernel))
        return cls(image.size, bits.view(np.uint16), colours.astype(np.int16).ravel())


@attrs.frozen(eq=False)
class LookingSource:
    """An `ImageSource` that keeps a `Look` at each image that is read from it; thread-safe."""

    source: ImageSource
    looks: dict[str, Look] = attrs.field(factory=dict, init=False)
    _lock: Lock = attrs.field(factory=Lock, init=False)

    def image(self, key: str) -> StoredImage:
        """As of the source."""
        stored = self.source.image(key)
        look = Look.of(stored.image)
        with self._lock:
            self.looks[key] = look
        return stored

    def digest(self, key: str) -> str:
        """As of the source."""
        return self.source.digest(key)


def near_copies(looks: dict[str, Look]) -> Iterator[tuple[str, str]]:
    """Pairs of keys whose images are near copies, each once; the keys of a pair and the pairs are sorted."""
    keys = sorted(looks)
    if not keys:
        return
    bands = np.stack([looks[key].bands for key in keys])
    thumbnails = np.stack([looks[key].thumbnail for key in keys])
    pairs: set[tuple[int, int]] = set()
    for band in range(_BANDS):
        order = np.argsort(bands[:, band], kind="stable")
        starts = np.flatnonzero(np.diff(bands[order, band])) + 1
        for group in np.split(order, starts):
            for place, first in enumerate(group[:-1].tolist()):
                rest = group[place + 1 :]
                differing = np.unpackbits((bands[rest] ^ bands[first]).view(np.uint8), axis=1).sum(axis=1)
                near = rest[differing <= BITS]
                alike = np.abs(thumbnails[near] - thumbnails[first]).mean(axis=1) <= LEVELS
                pairs.update((first, other) for other in near[alike].tolist())
    yield from ((keys[first], keys[other]) for first, other in sorted(pairs))
