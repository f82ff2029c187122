"""The published configurations as presets: plain data, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crbench.api import Released

PERSONS = ("market", "duke", "msmt17", "occ-duke")
VEHICLES = ("veri", "vehicleid")

FOLDERS: Mapping[str, str] = {
    "market": "Market",
    "duke": "DukeMTMC",
    "msmt17": "MSMT17",
    "occ-duke": "OCC_Duke",
    "veri": "VeRi",
    "vehicleid": "VehicleID",
}
"""The configuration folder of the public code behind the first word of a preset."""

PAGE = "https://github.com/damo-cv/TransReID#trained-models-and-logs"
RELEASED: Mapping[str, str] = {
    "vit-base": "vit_base",
    "vit-transreid-stride": "vit_transreid",
    "deit-transreid-stride": "deit_transreid",
}
"""The configurations whose checkpoints are released, and how their file names begin; the data set follows."""

FILES: Mapping[str, str] = {
    "market": "market",
    "duke": "duke",
    "msmt17": "msmt",
    "occ-duke": "occ_duke",
    "veri": "veri",
    "vehicleid": "vehicleID",
}
"""The data set in the file name of a released checkpoint, by the first word of a preset."""

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
CAMERA = {"sie": "camera"}
JPM = {"jpm": True}

TINY: Mapping[str, Any] = {
    "architecture": "vit-tiny",
    "pretrained": "none",
    "size": (128, 64),
    "stride": 12,
    "feature": "after",
    "epochs": 20,
    "identities": 16,
    "optimizer": "adamw",
    "lr": 1e-3,
    "weight_decay": 0.05,
    "bias_lr_factor": 1.0,
    "warmup_epochs": 3.0,
    "warmup_start": 0.1,
    "schedule": "cosine",
    "final_lr": 0.0,
    "pad": 4,
    "erase": 0.0,
    "drop_path": 0.0,
}
"""A transformer that learns from scratch on a CPU, with a recipe of ours."""


def presets() -> dict[str, dict[str, Any]]:
    """Parameters of each published configuration; ``Market/vit_sie.yml`` is ``market-vit-sie``.

    ``vit-transreid-stride`` has those of Market's: for data sets without a configuration, and so without a checkpoint.

    Example:
        >>> presets()["occ-duke-vit-transreid-stride"]["stride"]
        11
    """
    found = {f"{data}-{name}": values for data in PERSONS for name, values in _person(data).items()}
    found |= {f"{data}-{name}": values for data in VEHICLES for name, values in _vehicle(data).items()}
    # the first preset is the default of the entry
    default = "market-vit-transreid-stride"
    return {default: found.pop(default), **found, "vit-transreid-stride": _person("market")["vit-transreid-stride"]}


def released() -> dict[str, Released]:
    """The released checkpoint of each preset that has one.

    Example:
        >>> released()["market-vit-transreid-stride"].files
        ('vit_transreid_market.pth',)
    """
    return {
        f"{data}-{config}": Released((f"{beginning}_{ending}.pth",), PAGE)
        for data, ending in FILES.items()
        for config, beginning in RELEASED.items()
    }


def _person(data: str) -> dict[str, dict[str, Any]]:
    full = {**CAMERA, **JPM}
    # the Occluded-Duke configurations slide by 11, all others of this name by 12
    stride = {**full, "stride": 11 if data == "occ-duke" else 12}
    configs: dict[str, dict[str, Any]] = {
        "vit-base": {},
        "vit-sie": {**CAMERA},
        "vit-jpm": {**JPM},
        "vit-transreid": full,
        "vit-transreid-stride": stride,
        "deit-transreid-stride": {**stride, "architecture": "deit-base"},
    }
    if data != "occ-duke":
        configs["vit-transreid-384"] = {**full, "size": (384, 128)}
        configs["vit-transreid-stride-384"] = {**stride, "size": (384, 128)}
    if data == "msmt17":
        configs["vit-small"] = {"architecture": "vit-small"}
        configs["deit-small"] = {"architecture": "deit-small"}
    return configs


def _vehicle(data: str) -> dict[str, dict[str, Any]]:
    square = {"size": (256, 256)}
    full = {**square, **JPM, "shift": 8}
    if data == "veri":
        full |= {"sie": "both", "view_count": 8}
    deit = {**full, **IMAGENET, "architecture": "deit-base"}
    return {
        "vit-base": square,
        "vit-transreid": full,
        "vit-transreid-stride": {**full, "stride": 12},
        "deit-transreid": deit,
        "deit-transreid-stride": {**deit, "stride": 12},
    }
