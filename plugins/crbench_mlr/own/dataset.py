"""``folder:PATH``: persons in a folder of the user's as a data set."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.api import (
    DatasetInfo,
    EvalProtocol,
    Index,
    Progress,
    Split,
    StoredImage,
    Verification,
    digest_images,
    is_image,
    no_progress,
    shuffled,
    verify_images,
)
from crbench.errors import ComparisonError, DataError
from crbench_mlr.base import draw
from crbench_mlr.own.card import data_card, of_two_persons
from crbench_mlr.own.layouts import read_folder
from crbench_mlr.own.listing import NAME, Listing
from crbench_mlr.own.near_copies import LookingSource, near_copies
from crbench_mlr.own.pattern import Pattern
from crbench_mlr.rules import own_protocols

_log = logging.getLogger("crbench")

_FEWEST = 4
"""Persons: two to train on and two to tell apart."""

_ROLES = ("train", "query", "gallery")


def _positive(instance: object, attribute: attrs.Attribute[int], value: int) -> None:
    if value < 1:
        raise ValueError(f"{attribute.name}: {value} is out of range; expected pixels from 1")


@attrs.frozen(eq=False)
class OwnFolder:
    """A `crbench.api.Dataset` in a folder of the user's own, whatever the data root is.

    Args:
        path: the folder; `crbench_mlr.own.layouts` says what is understood.
        pattern: how images are named, as in `crbench_mlr.own.pattern.Pattern`; empty = a folder for each person.
        manifest: table below the folder that lists the images; empty = ``manifest.csv`` or ``manifest.tsv``, if there.
        full_height: height in pixels of a person at rate 1, for manifests with a column ``height``.

    Raises:
        DataError: no images, too few persons, one camera, or lists that contradict themselves.
        ComparisonError: a person is trained on and tested.
        ValueError: a pattern or height that is none.
    """

    path: Path
    pattern: str = ""
    manifest: str = ""
    full_height: int = attrs.field(default=256, validator=_positive)
    listing: Listing = attrs.field(init=False, repr=False)
    info: DatasetInfo = attrs.field(init=False, repr=False)
    protocols: Mapping[str, EvalProtocol] = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        pattern = Pattern(self.pattern) if self.pattern else None
        listing = read_folder(self.path, pattern, self.manifest, self.full_height)
        object.__setattr__(self, "listing", listing)
        object.__setattr__(self, "info", _info(self.path, listing))
        object.__setattr__(self, "protocols", _protocols(self.path, listing))

    @staticmethod
    def content_sha256(**parameters: Any) -> str:
        """See `crbench.api.DigestsContent`: names of images, persons and cameras, and the bytes of the images."""
        return OwnFolder(**parameters).listing.content_sha256

    def locate(self, root: Path) -> Path:
        """The folder."""
        return self.path

    def split(self, protocol: EvalProtocol, index: int, *, root: Path) -> Split:
        """Trial `index` (from 0) of the protocol; the same lists wherever the folder is.

        Where no camera is known, one half of each person's images, drawn anew in each trial, stands for what one camera
        saw, and the cameras of the rows that are returned are -1.

        Raises:
            DataError: too few persons.
            ConfigError: the protocol has no such trial or does not fit the folder.
        """
        images = self.listing.index
        if not self.listing.has_cameras:
            _say_no_cameras(self.path)
            images = _in_halves(images, index)
        split = draw(images, protocol, index)
        if self.listing.has_rates:
            query = split.query  # what is stored in LR cannot be shown at a lower rate
            split = attrs.evolve(split, query=attrs.evolve(query, rates=np.maximum(query.rates, query.native_rates)))
        if not self.listing.has_cameras:
            roles = {role: attrs.evolve(getattr(split, role), camids=-1) for role in _ROLES}
            split = attrs.evolve(split, **roles)
        unfit = sum(is_image(path) for path in self.listing.others)
        left_out = {
            "images that names or lists leave out": unfit,
            "listed images that are not there": len(self.listing.missing),
        }
        return attrs.evolve(split, notes={**{what: count for what, count in left_out.items() if count}, **split.notes})

    def read(self, key: str, *, root: Path) -> StoredImage:
        """The stored image of a key in RGB, upright, at its stored size, and its digest; thread-safe.

        Raises:
            DataError: it cannot be read; the message names the file.
        """
        return self.listing.files.image(key)

    def digests(self, keys: NDArray[np.str_], *, root: Path) -> NDArray[np.str_]:
        """BLAKE2b (16 hex digits) of each image file, str[n].

        Raises:
            DataError: an image cannot be opened.
        """
        return digest_images(self.listing.files, keys.tolist())

    def verify(self, *, root: Path, track: Progress = no_progress) -> Verification:
        """Count everything, open every image, compare their contents, and look for near copies."""
        listing = self.listing
        source = LookingSource(listing.files)
        found = verify_images(self.info, self.path, source, listing.index, track=track)
        copies = {line.partition(" = ")[0] for line in found.duplicate}
        near = list(near_copies({key: look for key, look in source.looks.items() if key not in copies}))
        cameras = {} if listing.has_cameras else {"cameras": 0}  # one that is not known is none
        return attrs.evolve(
            found,
            found={**found.found, **cameras},
            missing=listing.missing,
            extra=tuple(str(path) for path in listing.others),
            near=tuple(f"{one} ~ {other}" for one, other in of_two_persons(listing, near)),
            card=data_card(listing, source.looks, len(found.duplicate), near),
        )


def _info(path: Path, listing: Listing) -> DatasetInfo:
    return DatasetInfo(
        name=f"{NAME}:{listing.names_key}",
        title=f"your folder {path}, read as {listing.layout}",
        privacy="yours to know; results hold names of images unless crbench run --hash-keys hides them",
    )


def _protocols(path: Path, listing: Listing) -> dict[str, EvalProtocol]:
    rows = listing.index.rows
    people, counts = np.unique(rows.pids[rows.pids > 0], return_counts=True)
    if listing.has_roles:
        lacking = [role for role in _ROLES if not np.any((listing.index.roles == role) & (rows.pids > 0))]
        if lacking:
            raise DataError(f"{path}: no {lacking[0]} images of a person; expected train, query and gallery images")
        _check_apart(path, listing)
        return own_protocols(None, cameras=listing.has_cameras, rated=listing.has_rates)
    if len(people) < _FEWEST:
        named = ", ".join(sorted({image.person for image in listing.images})[:_FEWEST])
        raise DataError(
            f"{path}: only {len(people)} of at least {_FEWEST} persons ({named}), read as {listing.layout}; two are "
            "trained on and two told apart"
        )
    if listing.has_cameras:
        if len(np.unique(rows.camids)) == 1:
            raise DataError(
                f"{path}: all images are of camera {listing.images[0].camera}, so no query has a match; leave "
                "the camera out of pattern or manifest, and each person's images are drawn into two halves"
            )
        counts = np.array([len(np.unique(rows.camids[rows.pids == pid])) for pid in people.tolist()])
    tests = min(len(people) // 2, int((counts >= 2).sum()))
    if tests < 2:
        seen = "seen by two cameras" if listing.has_cameras else "with two images"
        raise DataError(f"{path}: {int((counts >= 2).sum())} of {len(people)} persons {seen}; expected at least 2")
    return own_protocols((len(people) - tests, tests), cameras=listing.has_cameras, rated=listing.has_rates)


def _check_apart(path: Path, listing: Listing) -> None:
    """Name the persons who are trained on and tested; the numbers of junk and distractors are not persons."""
    pids, roles = listing.index.rows.pids, listing.index.roles
    both = np.intersect1d(pids[roles == "train"], pids[(roles != "train") & (pids > 0)])
    if len(both):
        names = sorted({image.person for image, pid in zip(listing.images, pids, strict=True) if pid in both})
        raise ComparisonError(
            f"{path}: {len(both)} of the persons to train on ({', '.join(names[:_FEWEST])}) are in query or gallery, "
            "too; give all images of a person to training or to test"
        )


@functools.cache  # once, not once per trial
def _say_no_cameras(path: Path) -> None:
    _log.warning("%s: nothing says which camera took an image, so none is left out as of the query's camera", path)


def _in_halves(images: Index, trial: int) -> Index:
    """The images with camera 1 for a drawn half of each person's, rounded down, and camera 2 for the others."""
    rows = images.rows
    camids = np.full(len(rows), 2)
    names = rows.keys if rows.groups is None else rows.groups  # a tracklet stays whole
    places: dict[str, list[int]] = {}
    for at, name in enumerate(names.tolist()):
        places.setdefault(name, []).append(at)
    for pid in np.unique(rows.pids).tolist():
        own = np.unique(names[rows.pids == pid]).tolist()
        drawn = shuffled(f"{images.name}|trial {trial}|halves", own)[: len(own) // 2]
        camids[[at for name in drawn for at in places[str(name)]]] = 1
    return attrs.evolve(images, rows=attrs.evolve(rows, camids=camids))
