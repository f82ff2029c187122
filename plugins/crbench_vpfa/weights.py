"""VPFA weights in files: our safetensors, and the official ``mlp_model_{2,3,4}x.pth``; no file can run code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from crbench.api import Domain, read_tensors
from crbench.errors import DataError
from crbench_vpfa.module import Gate
from crbench_vpfa.transform import PanningTransform, from_state, module_from

_OFFICIAL = re.compile(r"mlp_model_(\d+(?:\.\d+)?)x\.pth", re.ASCII)


def load(path: Path, *, gate: Gate = "tanh", residual: bool = True) -> PanningTransform:
    """The transform in a ``.safetensors`` file, or in a folder with official files.

    Raises:
        DataError: nothing such is there, or a file is damaged, holds code or does not fit.
    """
    if path.is_dir():
        return load_official(_official_files(path))
    if not path.is_file():
        raise DataError(
            f"vpfa weights {path}: there is no such file or folder; expected a .safetensors file or a folder with "
            "mlp_model_2x.pth, mlp_model_3x.pth, ..."
        )
    return from_state(read_tensors(path), gate=gate, residual=residual)


def load_official(paths_by_rate: Mapping[float, Path]) -> PanningTransform:
    """The official weights, one file per rate (keys ``model.0.weight`` ...); residual and tanh as in the code.

    Raises:
        DataError: a file is missing, damaged, holds code or does not fit.
    """
    return PanningTransform(
        {
            (Domain(rate=float(rate)),): module_from(read_tensors(path), gate="tanh", residual=True, origin=path.name)
            for rate, path in sorted(paths_by_rate.items())
        }
    )


def _official_files(folder: Path) -> dict[float, Path]:
    matches = [(_OFFICIAL.fullmatch(path.name), path) for path in sorted(folder.iterdir())]
    files = {float(match[1]): path for match, path in matches if match}
    if not files:
        raise DataError(f"vpfa weights {folder}: the folder holds no mlp_model_2x.pth, mlp_model_3x.pth, ...")
    return files
