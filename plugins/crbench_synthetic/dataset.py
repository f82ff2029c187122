"""The data set class: lists without drawing, images drawn when they are read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cached_property, lru_cache
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
    Samples,
    Split,
    StoredImage,
    Verification,
    draw_split,
    no_progress,
)
from crbench.errors import ConfigError, DataError
from crbench_synthetic.size import CAMERA_COUNT, HEIGHT, WIDTH

GENERATOR_VERSION = 1
"""Raised whenever a pixel of any image changes; part of every draw and digest."""

MAX_IDENTITIES = 1_000_000

_WEIGHTS = Path(__file__).parent / "weights" / "resnet-tiny.safetensors"

_KEY = re.compile(r"(train|test)/(\d{7})_c([1-4])_(\d{2})", re.ASCII)
_IMAGE_BYTES = HEIGHT * WIDTH * 3


def _whole(low: int, high: int) -> Any:
    def validate(_instance: object, attribute: attrs.Attribute[int], value: object) -> None:
        if type(value) is not int or not low <= value <= high:
            raise ConfigError(f"dataset.{attribute.name}: {value!r} given, expected a whole number, {low} to {high}")

    return validate


@attrs.frozen(slots=False, eq=False, kw_only=True)
class SyntheticPedestrians:
    """Pedestrians drawn from a seed; see the README beside this module for what is drawn and why it is reproducible.

    Identities 1 to `train_identities` are for training, the following `test_identities` for the test; as in
    Market-1501 the partition is fixed. Official queries are the test images of camera 1.

    Args:
        train_identities, test_identities: number of people, together at most a million.
        images_per_camera: images of each person in each of the four cameras.
        seed: another seed, other people and places.
        memory_mb: how many MiB of drawn images are kept for reading again; the default size needs 100.

    Raises:
        ConfigError: a parameter is out of range.

    Example:
        >>> data = SyntheticPedestrians()
        >>> split = data.split(data.protocols["mlr"], 0, root=Path())
        >>> len(split.train), len(split.query), len(split.gallery)
        (2400, 450, 1350)
        >>> data.read("test/0000201_c1_01", root=Path()).size
        (64, 128)
    """

    train_identities: int = attrs.field(default=200, validator=_whole(1, MAX_IDENTITIES))
    test_identities: int = attrs.field(default=150, validator=_whole(1, MAX_IDENTITIES))
    images_per_camera: int = attrs.field(default=3, validator=_whole(1, 99))
    seed: int = attrs.field(default=0, validator=_whole(0, 2**63 - 1))
    memory_mb: int = attrs.field(default=256, validator=_whole(1, 2**20))

    def __attrs_post_init__(self) -> None:
        if self.identities > MAX_IDENTITIES:
            raise ConfigError(
                f"dataset: {self.identities} identities given (train_identities + test_identities), expected at most "
                f"{MAX_IDENTITIES}"
            )

    @property
    def identities(self) -> int:
        """Number of people."""
        return self.train_identities + self.test_identities

    @cached_property
    def protocols(self) -> Mapping[str, EvalProtocol]:
        """The protocols, default first."""
        mlr = EvalProtocol()
        pro: tuple[float, ...] = (2, 3, 4, 5, 6, 7)
        # One rate and an exact gallery leave nothing to draw: further trials would repeat the first.
        unseen = mlr.changed(name="mlr-unseen", train_rates=(2, 4, 8), query_rates=(3,), trials=1)
        plain = mlr.changed(name="standard", query="official", lr_camera="none", train_rates=(), query_rates=())
        return {
            "mlr": mlr,
            "mlrpro": mlr.changed(name="mlrpro", train_rates=pro, query_rates=pro),
            "mlr-unseen": unseen,
            "mlr-unseen-6": unseen.changed(name="mlr-unseen-6", query_rates=(6,)),
            "standard": plain.changed(trials=1, shot="multi", distractors="keep"),
        }

    @cached_property
    def info(self) -> DatasetInfo:
        """What the data set is."""
        train, test = self.train_identities, self.test_identities
        per_person = CAMERA_COUNT * self.images_per_camera
        return DatasetInfo(
            name="mlr-synthetic",
            title="Synthetic pedestrians, drawn from a seed",
            reference="crbench, plugin crbench_synthetic",
            licence="Apache-2.0, as the package",
            privacy="No real person is shown; every image is computed.",
            layouts=("nothing to download: images are drawn when they are read",),
            counts={
                "train images": train * per_person,
                "train identities": train,
                "query images": test * self.images_per_camera,
                "gallery images": test * (per_person - self.images_per_camera),
                "test identities": test,
                "cameras": CAMERA_COUNT,
            },
        )

    @cached_property
    def index(self) -> Index:
        """All images with their official roles; nothing is drawn."""
        shape = (self.identities, CAMERA_COUNT, self.images_per_camera)
        pids, camids, shots = (axis.ravel() + 1 for axis in np.indices(shape, dtype=np.int32))
        train = int(np.searchsorted(pids, self.train_identities, side="right"))
        parts = (("train", slice(train)), ("test", slice(train, None)))
        keys = np.concatenate([_keys(folder, pids[part], camids[part], shots[part]) for folder, part in parts])
        roles = np.where(camids == 1, "query", "gallery")
        roles[:train] = "train"
        return Index(name=self._stream, rows=Samples(keys=keys, pids=pids, camids=camids), roles=roles)

    def split(self, protocol: EvalProtocol, index: int, *, root: Path) -> Split:
        """Trial `index` of the protocol.

        Raises:
            ConfigError: the protocol has no such trial or does not fit.
        """
        return draw_split(self.index, protocol, index)

    def read(self, key: str, *, root: Path) -> StoredImage:
        """The image of a key, 128 pixels high and 64 wide; drawn at its first reading.

        Raises:
            DataError: there is no such image.
        """
        from PIL import Image

        return StoredImage(Image.frombytes("RGB", (WIDTH, HEIGHT), self._drawn(key)), self._digest(key))

    def digests(self, keys: NDArray[np.str_], *, root: Path) -> NDArray[np.str_]:
        """SHA-256 of what determines each image (generator, seed, person, camera, shot); nothing is drawn."""
        return np.array([self._digest(key) for key in keys.tolist()])

    def weights_of(self, backbone: str) -> Path | None:
        """Weights of ``resnet-tiny`` that were trained on the 200 training persons of the default size and seed."""
        return _WEIGHTS if backbone == "resnet-tiny" else None

    def verify(self, *, root: Path, track: Progress = no_progress) -> Verification:
        """Draw every image and count; two equal images are reported."""
        seen: dict[bytes, str] = {}
        duplicate = []
        keys = self.index.rows.keys.tolist()
        with track(len(keys), "verify mlr-synthetic", "image") as tracker:
            for key in keys:
                first = seen.setdefault(hashlib.sha256(self._drawn(key)).digest(), key)
                if first != key:
                    duplicate.append(f"{key} equals {first}")
                tracker.advance()
        return Verification(
            root="memory, drawn from a seed", found=self._found(), expected=self.info.counts, duplicate=tuple(duplicate)
        )

    def _found(self) -> dict[str, int]:
        rows, roles = self.index.rows, self.index.roles
        return {
            "train images": int((roles == "train").sum()),
            "train identities": len(np.unique(rows.pids[roles == "train"])),
            "query images": int((roles == "query").sum()),
            "gallery images": int((roles == "gallery").sum()),
            "test identities": len(np.unique(rows.pids[roles == "query"])),
            "cameras": len(np.unique(rows.camids)),
        }

    def _digest(self, key: str) -> str:
        return hashlib.sha256(f"{self._stream}|{key}".encode()).hexdigest()

    @property
    def _stream(self) -> str:
        """Names the random draws; people do not depend on how many there are."""
        return f"mlr-synthetic|generator {GENERATOR_VERSION}|seed {self.seed}"

    @cached_property
    def _drawn(self) -> Any:
        """Key to the bytes of its image, most recently used ones kept; safe to call from several threads."""
        return lru_cache(maxsize=max(1, self.memory_mb * 2**20 // _IMAGE_BYTES))(self._draw)

    def _draw(self, key: str) -> bytes:
        from crbench_synthetic.image import take  # compiles its loops at its first import ever

        match = _KEY.fullmatch(key)
        pid, camid, shot = (int(part) for part in match.groups()[1:]) if match else (0, 0, 0)
        known = 1 <= pid <= self.identities and 1 <= shot <= self.images_per_camera
        if match is None or not known or (match[1] == "train") != (pid <= self.train_identities):
            raise DataError(
                f"mlr-synthetic has no image {key!r}; expected keys like 'train/0000001_c1_01' with identities 1 to "
                f"{self.identities} (training: up to {self.train_identities}) and shots 1 to {self.images_per_camera}"
            )
        return take(self._stream, pid, camid, shot).tobytes()


def _keys(
    folder: str, pids: NDArray[np.int32], camids: NDArray[np.int32], shots: NDArray[np.int32]
) -> NDArray[np.str_]:
    """Keys such as ``train/0000012_c2_01``, character by character for all at once: a million people take seconds."""
    template = f"{folder}/0000000_c0_00"
    points = np.empty((len(pids), len(template)), dtype=np.uint32)
    points[:] = [ord(character) for character in template]
    start = len(folder) + 1
    for numbers, last, width in ((pids, start + 6, 7), (camids, start + 9, 1), (shots, start + 12, 2)):
        for place in range(width):
            points[:, last - place] += ((numbers // 10**place) % 10).astype(np.uint32)
    return points.view(f"U{len(template)}")[:, 0]
