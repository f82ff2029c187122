"""MSMT17, version 1 and the face-masked version 2 (Wei et al., CVPR 2018)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path, PurePosixPath

import attrs

from crbench.api import DatasetInfo, EvalProtocol, ImageFile, read_text_input
from crbench.errors import ConfigError, DataError
from crbench_mlr.base import ImageDataset
from crbench_mlr.folders import child
from crbench_mlr.inventory import Inventory, from_images
from crbench_mlr.layout import Layout
from crbench_mlr.rules import market_vpfa_code, mlr_protocols, official_protocols

TRAIN_IDENTITIES = 1041
"""List ids restart at 0 in the test lists: test pids are ``id + 1 + TRAIN_IDENTITIES``, training pids ``id + 1``."""

_FOLDERS = {"V1": ("train", "test"), "V2": ("mask_train_v2", "mask_test_v2")}
_LISTS = ("list_train.txt", "list_val.txt", "list_query.txt", "list_gallery.txt")
_LINE = re.compile(r"(?P<file>[^/].*?/[^/_]+_[^/_]+_(?P<camid>\d{1,9})_[^/]+) (?P<id>\d{1,9})", re.ASCII)
_TREE = """{folder}/
  {train}/0000/0000_000_01_0303morning_0015_0.jpg
  {test}/0000/...
  list_train.txt list_val.txt list_query.txt list_gallery.txt"""


def mlr(version: str = "any", val: bool = True) -> ImageDataset:
    """``mlr-msmt17``: camera 1 is LR for everybody; official identities, ten draws of the rates.

    Args:
        version: ``V1``, ``V2`` (faces masked) or ``any``: V1 where both are there.
        val: train on ``list_val.txt`` too (32,621 images, as TransReID does; 30,248 without it, as torchreid does).

    Raises:
        ConfigError: unknown version.
    """
    return _dataset("mlr-msmt17", mlr_protocols(EvalProtocol(), market_vpfa_code()), version, val)


def standard(version: str = "any", val: bool = True) -> ImageDataset:
    """``msmt17``: plain HR evaluation by the official query and gallery.

    Args:
        version: ``V1``, ``V2`` (faces masked) or ``any``: V1 where both are there.
        val: train on ``list_val.txt`` too.

    Raises:
        ConfigError: unknown version.
    """
    return _dataset("msmt17", official_protocols(), version, val)


def _dataset(name: str, protocols: Mapping[str, EvalProtocol], version: str, val: bool) -> ImageDataset:
    if version not in ("any", *_FOLDERS):
        raise ConfigError(f"{name}: version {version!r} is not one of any, {', '.join(_FOLDERS)}")
    versions = [known for known in _FOLDERS if version in ("any", known)]
    info = DatasetInfo(
        name=name,
        title="MSMT17",
        url="https://www.pkuvmc.com/dataset.html",
        reference="Wei et al., Person Transfer GAN to Bridge Domain Gap for Person Re-Identification, CVPR 2018",
        licence="by signed request, for non-commercial research",
        privacy="people recorded in public on a university campus; version 2 masks their faces",
        layouts=tuple(
            _TREE.format(folder=f"MSMT17_{known}", train=_FOLDERS[known][0], test=_FOLDERS[known][1])
            for known in versions
        ),
        counts={
            "train images": 32621 if val else 30248,
            "train identities": TRAIN_IDENTITIES,
            "query images": 11659,
            "gallery images": 82161,
            "test identities": 3060,
            "cameras": 15,
        },
    )
    return ImageDataset(info, protocols, tuple(_layout(known, val) for known in versions))


def _layout(version: str, val: bool) -> Layout:
    folders = _FOLDERS[version]
    places = (f"msmt17/MSMT17_{version}", f"MSMT17_{version}", "msmt17", ".")
    return Layout(places, (*folders, *_LISTS), partial(_scan, folders=folders, val=val))


def _scan(folder: Path, *, folders: tuple[str, str], val: bool) -> Inventory:
    train, test = folders
    found = _read_list(folder, "list_train.txt", train, "train")
    if val:
        found += _read_list(folder, "list_val.txt", train, "train")
    for image in found:
        if image.pid > TRAIN_IDENTITIES:
            raise DataError(
                f"{folder}: training id {image.pid - 1} in the lists; expected less than {TRAIN_IDENTITIES}"
            )
    for role in ("query", "gallery"):
        listed = _read_list(folder, f"list_{role}.txt", test, role)
        found += [attrs.evolve(image, pid=image.pid + TRAIN_IDENTITIES) for image in listed]
    named = {image.path for image in found}
    if not val:
        named |= {image.path for image in _read_list(folder, "list_val.txt", train, "train")}
    present = {path for name in folders for path in child(folder, name).glob("*/*")}
    missing = [image.key for image in found if image.path not in present]
    return from_images("msmt17", found, others=present - named, missing=missing)


def _text(path: Path) -> str:
    try:
        return read_text_input(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: the list cannot be read: {error}") from error


def _read_list(folder: Path, name: str, images: str, role: str) -> list[ImageFile]:
    """The images of one list file, with ``pid = id + 1``."""
    path, below = child(folder, name), child(folder, images)
    found = []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None or ".." in PurePosixPath(match["file"]).parts:
            raise DataError(
                f"{path}: line {number} is {line.strip()!r}; expected '0000/0000_000_01_0303morning_0015_0.jpg 0'"
            )
        key, pid, camid = f"{images}/{match['file']}", int(match["id"]) + 1, int(match["camid"])
        found.append(ImageFile(key, below / match["file"], pid, camid, role))
    return found
