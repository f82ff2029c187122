"""The folders that crbench uses: data sets, weights, cache, evidence."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import attrs
import platformdirs

from crbench.config.convert import faults, strict_converter
from crbench.config.home import expanded
from crbench.config.toml import load_toml
from crbench.errors import ConfigError, SystemFaultError


@attrs.frozen
class Folders:
    """What the user's own config file names: ``config.toml`` in the platform's config folder."""

    data_root: str | None = None
    weights_root: str | None = None
    cache_root: str | None = None
    evidence_root: str | None = None


def data_root(option: Path | None = None) -> Path:
    """Folder of the user's data sets: the option, ``CRBENCH_DATA``, the config file, or the platform's data folder."""
    return _folder(option, "CRBENCH_DATA", "data_root", lambda: platformdirs.user_data_path("crbench") / "data")


def data_root_source(option: Path | None = None) -> str:
    """Where the user names `data_root`: ``--data-root``, ``CRBENCH_DATA`` or ``config.toml``; empty = nowhere."""
    if option:
        return "--data-root"
    if os.environ.get("CRBENCH_DATA"):
        return "CRBENCH_DATA"
    return "config.toml" if _configured().data_root else ""


def weights_root(option: Path | None = None) -> Path:
    """Folder of weights: the option, ``CRBENCH_WEIGHTS``, the config file, or the platform's data folder."""
    return _folder(
        option, "CRBENCH_WEIGHTS", "weights_root", lambda: platformdirs.user_data_path("crbench") / "weights"
    )


def cache_root(option: Path | None = None) -> Path:
    """Folder of cached features: the option, ``CRBENCH_CACHE``, the config file, or the platform's cache folder."""
    return _folder(option, "CRBENCH_CACHE", "cache_root", lambda: platformdirs.user_cache_path("crbench"))


def evidence_root() -> Path:
    """Folder of what was verified here: ``CRBENCH_EVIDENCE``, the config file, or the platform's data folder."""
    return _folder(
        None, "CRBENCH_EVIDENCE", "evidence_root", lambda: platformdirs.user_data_path("crbench") / "evidence"
    )


def _folder(option: Path | None, variable: str, name: str, default: Callable[[], Path]) -> Path:
    chosen = option or os.environ.get(variable) or getattr(_configured(), name)
    try:
        return expanded(chosen) if chosen else default().expanduser()
    except RuntimeError as error:  # of pathlib or, where it is newer, of platformdirs: neither knows a home folder
        raise SystemFaultError(f"the home folder is not known; set HOME or {variable}") from error


def _configured() -> Folders:
    from cattrs import BaseValidationError

    try:
        path = platformdirs.user_config_path("crbench") / "config.toml"
    except RuntimeError:
        return Folders()
    if not path.is_file():
        return Folders()
    try:
        return strict_converter().structure(load_toml(path), Folders)
    except BaseValidationError as error:
        raise ConfigError(f"config {path}: {'; '.join(faults(error))}") from error
