"""CAVIAR4REID (Cheng et al., BMVC 2011): a close and a far camera in a shopping centre, LR as it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.api import DatasetInfo, EvalProtocol, ImageFile, Index, SplitRules, match_images, read_size
from crbench_mlr.base import ImageDataset
from crbench_mlr.inventory import Inventory, from_images
from crbench_mlr.layout import Layout
from crbench_mlr.rules import mlr_protocols

_EXAMPLE = "0001001.jpg"
_NAME = re.compile(r"(?P<pid>\d{4})(?P<number>\d{3})\..+", re.ASCII)
_PER_CAMERA = 10
"""Images 1 to 10 of a person are of one camera, later ones of the other; file names carry no camera."""

_PLACES = (
    "CAVIAR4REID/1x1",
    "CAVIAR4REID/CAVIARa",
    "CAVIAR4REID",
    "caviar/CAVIAR4REID/1x1",
    "caviar/1x1",
    "caviar/CAVIARa",
    "caviar",
    "1x1",
    "CAVIARa",
    ".",
)
_HOLDS = ("00??0??.*",)
_LAYOUTS = tuple(f"{folder}/{_EXAMPLE} ..." for folder in ("CAVIAR4REID/1x1", "CAVIAR4REID/CAVIARa", "CAVIARa"))

_MLR = EvalProtocol(
    split=SplitRules(
        identities="random:25/25", lr_camera="smaller", rate_source="presumed", train_rates=(), query_rates=()
    )
)
_VPFA_CODE = _MLR.changed(name="mlr-vpfa-code", query="one-per-id", shot="multi", distance="euclidean", flip=True)


def mlr() -> ImageDataset:
    """``mlr-caviar``: ten random halves of the 50 identities with two cameras; the smaller camera is LR as it stands.

    ``mlrpro`` and ``mlr-unseen`` do shrink: HR training images by their rates, LR queries to the drawn rate, counted
    from the rate 2 that they are presumed to have.
    """
    return _dataset("mlr-caviar")


def caviar() -> ImageDataset:
    """``caviar``: another name of `mlr`."""
    return _dataset("caviar")


def _dataset(name: str) -> ImageDataset:
    info = DatasetInfo(
        name=name,
        title="CAVIAR4REID",
        url="https://lorisbaz.github.io/caviar4reid.html",
        reference="Cheng et al., Custom Pictorial Structures for Re-identification, BMVC 2011",
        licence="for research; see the data set's page",
        privacy="people recorded in a shopping centre; do not publish their images",
        layouts=_LAYOUTS,
        counts={"images": 1220, "identities": 72, "two-camera identities": 50, "cameras": 2},
    )
    return ImageDataset(info, mlr_protocols(_MLR, _VPFA_CODE), (Layout(_PLACES, _HOLDS, _scan),))


def _scan(folder: Path) -> Inventory:
    matches, others = match_images(folder, _NAME, _EXAMPLE)
    found = [
        ImageFile(path.name, path, int(match["pid"]), 1 if int(match["number"]) <= _PER_CAMERA else 2)
        for path, match in matches
    ]
    whole = from_images("caviar", found, others=others)
    paired = _two_camera_mask(whole.index)
    pids = whole.index.rows.pids
    dropped = {
        "single-camera identities": len(np.unique(pids[~paired])),
        "single-camera images": int((~paired).sum()),
    }
    paths = {image.key: image.path for image in found}
    return attrs.evolve(
        whole,
        index=_with_areas(whole.index, paired, paths),
        figures={**whole.figures, "two-camera identities": len(np.unique(pids[paired]))},
        notes={**whole.notes, **{name: count for name, count in dropped.items() if count}},
    )


def _two_camera_mask(index: Index) -> NDArray[np.bool_]:
    rows = index.rows
    both = np.intersect1d(rows.pids[rows.camids == 1], rows.pids[rows.camids == 2])
    mask: NDArray[np.bool_] = np.isin(rows.pids, both)
    return mask


def _with_areas(index: Index, kept: NDArray[np.bool_], paths: Mapping[str, Path]) -> Index:
    rows = index.rows.take(kept)
    sizes = [read_size(paths[key]) for key in rows.keys.tolist()]
    areas = np.array([width * height for width, height in sizes], dtype=np.float64)
    return attrs.evolve(index, rows=rows, roles=index.roles[kept], areas=areas)
