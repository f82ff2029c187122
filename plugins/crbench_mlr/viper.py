"""VIPeR (Gray, Brennan and Tao, PETS 2007)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from crbench.api import DatasetInfo, EvalProtocol, ImageFile, ImageRules, ScoringRules, SplitRules, match_images
from crbench_mlr.base import ImageDataset
from crbench_mlr.folders import child
from crbench_mlr.inventory import Inventory, from_images
from crbench_mlr.layout import Layout
from crbench_mlr.market_style import NUMBER
from crbench_mlr.rules import mlr_protocols, plain

_EXAMPLE = "000_45.bmp"
_NAME = re.compile(rf"(?P<pid>{NUMBER})_\d+\..+", re.ASCII)
_CAMERAS = {"cam_a": 1, "cam_b": 2}
_PLACES = ("viper/VIPeR", "VIPeR", "viper/VIPeR.v1.0", "VIPeR.v1.0", ".")
_LAYOUTS = ("viper/VIPeR/\n  cam_a/000_45.bmp ...\n  cam_b/000_45.bmp ...", "VIPeR/\n  cam_a/...\n  cam_b/...")

_MLR = EvalProtocol(split=SplitRules(identities="random:316/316", lr_camera="per-id"))
_VPFA_CODE = EvalProtocol(
    name="mlr-vpfa-code",
    split=SplitRules(identities="random:316/316", lr_camera="per-id-and-folder", rate_per="identity"),
    images=ImageRules(kernel="bicubic", encoder="jpeg:75", flip=True),
    scoring=ScoringRules(distance="euclidean"),
)


def mlr() -> ImageDataset:
    """``mlr-viper``: ten random halves; one camera of each test identity, drawn per trial, is LR."""
    return _dataset("mlr-viper", mlr_protocols(_MLR, _VPFA_CODE))


def standard() -> ImageDataset:
    """``viper``: plain HR evaluation on the same halves and query cameras."""
    return _dataset("viper", plain(_MLR))


def _dataset(name: str, protocols: Mapping[str, EvalProtocol]) -> ImageDataset:
    info = DatasetInfo(
        name=name,
        title="VIPeR",
        url="https://vision.soe.ucsc.edu/node/178",
        reference="Gray et al., Evaluating Appearance Models for Recognition, Reacquisition, and Tracking, PETS 2007",
        licence="for research; see the data set's page",
        privacy="pedestrians recorded outdoors; do not publish their images",
        layouts=_LAYOUTS,
        counts={"images": 1264, "identities": 632, "cameras": 2},
    )
    return ImageDataset(info, protocols, (Layout(_PLACES, tuple(_CAMERAS), _scan),))


def _scan(folder: Path) -> Inventory:
    found, others = [], []
    for camera, camid in _CAMERAS.items():
        matches, rest = match_images(child(folder, camera), _NAME, _EXAMPLE)
        others += rest
        # ids start at 000, but pid 0 means a distractor
        found += [ImageFile(f"{camera}/{path.name}", path, int(match["pid"]) + 1, camid) for path, match in matches]
    by_camera = {camid: {image.pid for image in found if image.camid == camid} for camid in _CAMERAS.values()}
    missing = [
        f"{camera}/{pid - 1:03d}_*"
        for camera, camid in _CAMERAS.items()
        for pid in sorted(by_camera[3 - camid] - by_camera[camid])
    ]
    return from_images("viper", found, others=others, missing=missing)
