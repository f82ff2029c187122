"""Market-1501 (Zheng et al., ICCV 2015)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from crbench.api import DatasetInfo, EvalProtocol
from crbench_mlr.base import ImageDataset
from crbench_mlr.inventory import Inventory, from_images
from crbench_mlr.layout import Layout
from crbench_mlr.market_style import FOLDERS, NUMBER, TREE, scan_folders
from crbench_mlr.rules import market_vpfa_code, mlr_protocols, official_protocols

_EXAMPLE = "0002_c1s1_000451_03.jpg"
_NAME = re.compile(rf"(?P<pid>-1|{NUMBER})_c(?P<camid>{NUMBER})s\d+_.+", re.ASCII)
_PLACES = ("market1501/Market-1501-v15.09.15", "Market-1501-v15.09.15", "market1501", ".")
_LAYOUTS = tuple(TREE.format(folder=folder, example=_EXAMPLE) for folder in ("Market-1501-v15.09.15", "market1501"))


def mlr() -> ImageDataset:
    """``mlr-market1501``: camera 1 is LR for everybody; official identities, ten draws of the rates."""
    return _dataset("mlr-market1501", mlr_protocols(EvalProtocol(), market_vpfa_code()))


def standard() -> ImageDataset:
    """``market1501``: plain HR evaluation by the official query and gallery."""
    return _dataset("market1501", official_protocols())


def _dataset(name: str, protocols: Mapping[str, EvalProtocol]) -> ImageDataset:
    info = DatasetInfo(
        name=name,
        title="Market-1501",
        url="https://zheng-lab.cecs.anu.edu.au/Project/project_reid.html",
        reference="Zheng et al., Scalable Person Re-identification: A Benchmark, ICCV 2015",
        licence="for academic research only; see the data set's page",
        privacy="people recorded in public on a university campus; do not publish their images",
        layouts=_LAYOUTS,
        counts={
            "train images": 12936,
            "train identities": 751,
            "query images": 3368,
            "gallery images": 15913,
            "junk images": 3819,
            "test identities": 750,
            "cameras": 6,
        },
    )
    return ImageDataset(info, protocols, (Layout(_PLACES, tuple(FOLDERS), _scan),))


def _scan(folder: Path) -> Inventory:
    found, others = scan_folders(folder, _NAME, _EXAMPLE)
    return from_images("market1501", found, others=others)
