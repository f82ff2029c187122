"""CUHK03 (Li et al., CVPR 2014) in the 1367/100 setting, from any of the three forms in which users have it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import attrs

from crbench.api import DatasetInfo, EvalProtocol, ImageFile, SplitRules, match_images
from crbench.errors import ConfigError, DataError
from crbench_mlr.base import ImageDataset
from crbench_mlr.cuhk03_mat import PAIRS, first_pid, scan_mat
from crbench_mlr.folders import child
from crbench_mlr.inventory import Inventory, from_images
from crbench_mlr.layout import Layout
from crbench_mlr.market_style import FOLDERS, NUMBER, scan_folders
from crbench_mlr.rules import mlr_protocols, plain

_BOXES = {"detected": ("detected",), "labeled": ("labeled",), "both": ("detected", "labeled")}
_IMAGES = {"detected": 14097, "labeled": 14096, "both": 28193}

_EXTRACTED_EXAMPLE = "1_001_1_01.png"
_EXTRACTED = re.compile(r"(?P<pair>[1-5])_(?P<id>\d{3})_(?P<view>[12])_\d{2}\..+", re.ASCII)
_MARKET_EXAMPLE = "0001_c1_1.png"
_MARKET = re.compile(rf"(?P<pid>{NUMBER})_c(?P<camid>{NUMBER})_\d+\..+", re.ASCII)

_MAT_PLACES = ("cuhk03/cuhk03_release", "cuhk03", "cuhk03_release", ".")
_EXTRACTED_PLACES = ("cuhk03", "cuhk03_release", ".")
_MARKET_PLACES = ("cuhk03-np", "cuhk03", ".")
_LAYOUTS = (
    "cuhk03/cuhk03_release/cuhk-03.mat",
    "cuhk03/\n  images_detected/1_001_1_01.png ...\n  images_labeled/1_001_1_01.png ...",
    "cuhk03-np/\n  detected/{bounding_box_train,query,bounding_box_test}/0001_c1_1.png ...\n  labeled/...",
    "cuhk03/{bounding_box_train,query,bounding_box_test}/0001_c1_1.png ...",
)

_MLR = EvalProtocol(split=SplitRules(identities="random:1367/100", lr_camera="per-id"))
_VPFA_CODE = _MLR.changed(name="mlr-vpfa-code", encoder="png", shot="single:mc:1", distance="euclidean", flip=True)


def mlr(boxes: str = "detected") -> ImageDataset:
    """``mlr-cuhk03``: ten random 1367/100 splits; one view of each test identity, drawn per trial, is LR.

    Args:
        boxes: ``detected`` (the detector's 14,097 images, the figure that CR-ReID papers give, one per photograph),
            ``labeled`` (14,096 hand-drawn boxes), or ``both``, which shows nearly every photograph twice. Folders
            that do not say which boxes they hold are taken as they are.

    Raises:
        ConfigError: unknown boxes.
    """
    return _dataset("mlr-cuhk03", mlr_protocols(_MLR, _VPFA_CODE), boxes)


def standard(boxes: str = "detected") -> ImageDataset:
    """``cuhk03``: plain HR evaluation on the same identities and query views.

    Protocol ``classic`` takes the 20 official test sets, which only ``cuhk-03.mat`` holds.

    Args:
        boxes: ``detected``, ``labeled`` or ``both``, see `mlr`.

    Raises:
        ConfigError: unknown boxes.
    """
    hr = plain(_MLR)
    classic = hr["standard"].changed(name="classic", identities="official", trials=20)
    return _dataset("cuhk03", {**hr, "classic": classic}, boxes)


def _dataset(name: str, protocols: Mapping[str, EvalProtocol], boxes: str) -> ImageDataset:
    if boxes not in _BOXES:
        raise ConfigError(f"{name}: boxes {boxes!r} is not one of {', '.join(_BOXES)}")
    info = DatasetInfo(
        name=name,
        title="CUHK03",
        url="https://www.ee.cuhk.edu.hk/~xgwang/CUHK_identification.html",
        reference="Li et al., DeepReID: Deep Filter Pairing Neural Network for Person Re-Identification, CVPR 2014",
        licence="for academic research only, by request to the authors",
        privacy="people recorded on a university campus; do not publish their images",
        layouts=_LAYOUTS,
        counts={"images": _IMAGES[boxes], "identities": sum(PAIRS), "cameras": 2},
    )
    return ImageDataset(info, protocols, _layouts(_BOXES[boxes]))


def _layouts(boxes: tuple[str, ...]) -> tuple[Layout, ...]:
    """The forms of the data, the authors' own file first; the extracted images give the same splits as it does."""
    boxed = tuple(f"{box}/{name}" for box in boxes for name in FOLDERS)
    return (
        Layout(_MAT_PLACES, ("cuhk-03.mat",), partial(scan_mat, boxes=boxes)),
        Layout(_EXTRACTED_PLACES, tuple(f"images_{box}" for box in boxes), partial(_scan_extracted, boxes=boxes)),
        Layout(_MARKET_PLACES, boxed, partial(_scan_market, boxes=boxes)),
        Layout(_MARKET_PLACES, tuple(FOLDERS), partial(_scan_market, boxes=(".",))),
    )


def _scan_extracted(folder: Path, *, boxes: tuple[str, ...]) -> Inventory:
    found, others = [], []
    for box in boxes:
        matches, rest = match_images(child(folder, f"images_{box}"), _EXTRACTED, _EXTRACTED_EXAMPLE)
        others += rest
        for path, match in matches:
            pair, number = int(match["pair"]), int(match["id"])
            if not 1 <= number <= PAIRS[pair - 1]:
                raise DataError(f"{path}: camera pair {pair} has ids 1 to {PAIRS[pair - 1]}, not {number}")
            pid = first_pid(pair) + number - 1
            found.append(ImageFile(f"images_{box}/{path.name}", path, pid, int(match["view"])))
    return from_images("cuhk03", found, others=others)


def _scan_market(folder: Path, *, boxes: tuple[str, ...]) -> Inventory:
    """All three folders together: the ready split (767/700) is another protocol's."""
    found, others = [], []
    for box in boxes:
        prefix = "" if box == "." else f"{box}/"
        images, rest = scan_folders(child(folder, box), _MARKET, _MARKET_EXAMPLE, prefix=prefix)
        found += [attrs.evolve(image, role="any") for image in images]
        others += rest
    return from_images("cuhk03", found, others=others)
