"""The folders that crbench uses: data sets, weights, cache."""

from __future__ import annotations

import os
from pathlib import Path

import attrs
import platformdirs

from crbench.config.convert import faults, strict_converter
from crbench.config.toml import load_toml
from crbench.errors import ConfigError


@attrs.frozen
class Folders:
    """What the user's own config file names: ``config.toml`` in the platform's config folder."""

    data_root: str | None = None
    weights_root: str | None = None
    cache_root: str | None = None


def data_root(option: Path | None = None) -> Path:
    """Folder of the user's data sets: the option, ``CRBENCH_DATA``, the config file, or the platform's data folder."""
    return _folder(option, "CRBENCH_DATA", "data_root", platformdirs.user_data_path("crbench") / "data")


def weights_root(option: Path | None = None) -> Path:
    """Folder of weights: the option, ``CRBENCH_WEIGHTS``, the config file, or the platform's data folder."""
    return _folder(option, "CRBENCH_WEIGHTS", "weights_root", platformdirs.user_data_path("crbench") / "weights")


def cache_root(option: Path | None = None) -> Path:
    """Folder of cached features: the option, ``CRBENCH_CACHE``, the config file, or the platform's cache folder."""
    return _folder(option, "CRBENCH_CACHE", "cache_root", platformdirs.user_cache_path("crbench"))


def _folder(option: Path | None, variable: str, name: str, default: Path) -> Path:
    chosen = option or os.environ.get(variable) or getattr(_configured(), name) or default
    return Path(chosen).expanduser()


def _configured() -> Folders:
    from cattrs import BaseValidationError

    path = platformdirs.user_config_path("crbench") / "config.toml"
    if not path.is_file():
        return Folders()
    try:
        return strict_converter().structure(load_toml(path), Folders)
    except BaseValidationError as error:
        raise ConfigError(f"config {path}: {'; '.join(faults(error))}") from error
