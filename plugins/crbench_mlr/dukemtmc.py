"""DukeMTMC-reID (Ristani et al., ECCVW 2016; Zheng et al., ICCV 2017), withdrawn by Duke University in 2019."""

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

OPT_IN = "CRBENCH_ACCEPT_DUKEMTMC"
"""Environment variable that must be ``1`` before these data are read."""

_NOTICE = (
    "DukeMTMC-reID was withdrawn by Duke University in 2019: the people in it were recorded without the consent that "
    "such use calls for. crbench ships no copy and no link and advises against new work on it; it reads a copy that "
    "you already hold only so that published numbers can be checked."
)
_EXAMPLE = "0005_c2_f0046985.jpg"
_NAME = re.compile(rf"(?P<pid>{NUMBER})_c(?P<camid>{NUMBER})_f\d+\..+", re.ASCII)
_PLACES = ("dukemtmc-reid/DukeMTMC-reID", "DukeMTMC-reID", "dukemtmcreid", "dukemtmc", ".")


def mlr() -> ImageDataset:
    """``mlr-dukemtmc``: camera 1 is LR for everybody; official identities, ten draws of the rates."""
    return _dataset("mlr-dukemtmc", mlr_protocols(EvalProtocol(), market_vpfa_code()))


def standard() -> ImageDataset:
    """``dukemtmc``: plain HR evaluation by the official query and gallery."""
    return _dataset("dukemtmc", official_protocols())


def _dataset(name: str, protocols: Mapping[str, EvalProtocol]) -> ImageDataset:
    info = DatasetInfo(
        name=name,
        title="DukeMTMC-reID",
        reference="Ristani et al., ECCV Workshops 2016; Zheng et al., ICCV 2017",
        licence="withdrawn; no licence is offered any more",
        privacy=_NOTICE,
        layouts=tuple(
            TREE.format(folder=folder, example=_EXAMPLE) for folder in ("dukemtmc-reid/DukeMTMC-reID", "dukemtmcreid")
        ),
        counts={
            "train images": 16522,
            "train identities": 702,
            "query images": 2228,
            "gallery images": 17661,
            "test identities": 702,
            "distractor identities": 408,
            "cameras": 8,
        },
        opt_in=OPT_IN,
    )
    return ImageDataset(info, protocols, (Layout(_PLACES, tuple(FOLDERS), _scan),))


def _scan(folder: Path) -> Inventory:
    found, others = scan_folders(folder, _NAME, _EXAMPLE)
    return from_images("dukemtmc", found, others=others)
