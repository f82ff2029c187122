"""What a folder of the user's holds: images with persons and cameras by name, and the numbers that stand for them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path

import attrs
import numpy as np

from crbench.api import ImageFile, ImageFiles, Index, digest_images
from crbench.errors import DataError

NAME = "folder"
"""Of the data set in all draws: they depend on the names of images and persons, not on where the folder is."""

JUNK = "-1"
"""The person of images that are never counted, in layouts with a query and a gallery."""

_NUMBER = re.compile(r"\d{1,9}", re.ASCII)


@attrs.frozen
class OwnImage:
    """One image: its key (the path below the folder), file, person and camera by name, role, rate, tracklet."""

    key: str
    path: Path
    person: str
    camera: str = ""
    role: str = "any"
    rate: float = 1.0
    group: str = ""


def _by_key(images: Iterable[OwnImage]) -> tuple[OwnImage, ...]:
    return tuple(sorted(images, key=lambda image: (image.key, image.role)))


@attrs.frozen(slots=False, eq=False)
class Listing:
    """All images of a folder, in order of their keys.

    Attributes:
        layout: how the folder was read, in words.
        images: at least one; either all have a camera or none has, and either all have a role or none has.
        others: files that were left out, as their names do not fit or they are no images.
        missing: files that a manifest names and that are not there.

    Raises:
        DataError: no image, or cameras or roles of some images only.
    """

    folder: Path
    layout: str
    images: tuple[OwnImage, ...] = attrs.field(converter=_by_key)
    others: tuple[Path, ...] = ()
    missing: tuple[str, ...] = ()

    def __attrs_post_init__(self) -> None:
        for what, none in (("camera", ""), ("role", "any")):
            lacking = [image for image in self.images if getattr(image, what) == none]
            if 0 < len(lacking) < len(self.images):
                raise DataError(f"{lacking[0].path}: no {what}, though others have one; give every image one, or none")

    @property
    def has_cameras(self) -> bool:
        """Whether it is known which camera took an image."""
        return bool(self.images[0].camera)

    @property
    def has_roles(self) -> bool:
        """Whether images are given as train, query and gallery."""
        return self.images[0].role != "any"

    @property
    def has_rates(self) -> bool:
        """Whether some images are of low resolution as they are stored."""
        return any(image.rate > 1 for image in self.images)

    @property
    def has_groups(self) -> bool:
        """Whether some images are of tracklets."""
        return any(image.group for image in self.images)

    @cached_property
    def files(self) -> ImageFiles:
        """The images with numbers for persons and cameras; a camera that is not known is -1."""
        asked = {image.person for image in self.images if image.role != "gallery"}
        pids = numbered((image.person for image in self.images), junk=self.has_roles, distractors=self.has_roles)
        if any(pid == 0 and name in asked for name, pid in pids.items()):
            pids = numbered((image.person for image in self.images), junk=self.has_roles)
        camids = numbered(image.camera for image in self.images) if self.has_cameras else {"": -1}
        return ImageFiles(
            ImageFile(image.key, image.path, pids[image.person], camids[image.camera], image.role)
            for image in self.images
        )

    @cached_property
    def index(self) -> Index:
        """The images for `crbench.api.draw_split`, at the rates at which they are stored.

        Raises:
            DataError: a name is not UTF-8.
        """
        index = self.files.index(NAME)
        rates = np.array([image.rate for image in self.images], dtype=np.float32)
        groups = [image.group or image.key for image in self.images] if self.has_groups else None
        return attrs.evolve(index, rows=attrs.evolve(index.rows, rates=rates, native_rates=rates, groups=groups))

    @cached_property
    def names_key(self) -> str:
        """12 hex digits that stand for all names: equal ones mean equal numbers of persons, whatever the pixels."""
        return self._digest(lambda image: "")[:12]

    @cached_property
    def content_sha256(self) -> str:
        """64 hex digits that stand for all names and the bytes of all images, wherever the folder is.

        Of an image that cannot be opened they say so; a run stops at it, or skips it where it is told to.
        """
        keys = [image.key for image in self.images]
        try:
            digests = digest_images(self.files, keys).tolist()
        except DataError:
            digests = [self._digest_of(key) for key in keys]
        found = dict(zip(keys, digests, strict=True))
        return self._digest(lambda image: found[image.key])

    def _digest_of(self, key: str) -> str:
        try:
            return self.files.digest(key)
        except DataError:
            return "cannot be opened"

    def _digest(self, pixels: Callable[[OwnImage], str]) -> str:
        groups = [[i.group] if i.group else [] for i in self.images]
        lines = [
            [i.key, i.person, i.camera, i.role, i.rate, pixels(i), *group]
            for i, group in zip(self.images, groups, strict=True)
        ]
        return hashlib.sha256(json.dumps(lines).encode()).hexdigest()


def numbered(names: Iterable[str], *, junk: bool = False, distractors: bool = False) -> Mapping[str, int]:
    """A number for each name, the same whatever their order.

    Names that are all different whole numbers from 1 keep them; else the sorted names are counted from 1.

    Args:
        junk: the name ``-1`` is the number -1.
        distractors: a whole number may be 0.

    Example:
        >>> dict(numbered(["0007", "0002"])), dict(numbered(["bob", "ann", "7"]))
        ({'0002': 2, '0007': 7}, {'7': 1, 'ann': 2, 'bob': 3})
    """
    distinct = sorted(set(names) - ({JUNK} if junk else set()))
    values = [int(name) for name in distinct if _NUMBER.fullmatch(name)]
    keep = len(set(values)) == len(distinct) and min(values, default=1) >= (0 if distractors else 1)
    found = dict(zip(distinct, values if keep else range(1, len(distinct) + 1), strict=True))
    return {**found, JUNK: -1} if junk else found
