"""Ready backbones, aligners and data sets by name: the loaders of the public interface."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from crbench.api.interfaces import Aligner, Backbone, Dataset, Precomputed
from crbench.errors import ConfigError
from crbench.registry.discovery import PluginRecord, installed
from crbench.registry.resolve import Resolved, resolve
from crbench.registry.weight_files import find_released, find_weights


def load_backbone(
    name: str,
    weights: str | Path | None = None,
    device: str = "cpu",
    *,
    weights_sha256: str | None = None,
    **parameters: Any,
) -> Backbone | Precomputed:
    """A ready backbone, or features in its place (``features:FOLDER``).

    Args:
        name: as in ``--backbone``, with optional preset and argument.
        weights: as in ``--weights``; without, the released ones if they lie in the weights folder, otherwise the
            backbone is untrained or takes what it ships.
        device: torch device name.
        weights_sha256: what the weights file must have; see `crbench.registry.weight_files.find_weights`.
        parameters: the backbone's own.

    Raises:
        ConfigError, DataError, PluginError: see `resolve`; weights that are missing or do not fit.

    Example:
        >>> load_backbone("resnet-tiny").dim
        256
    """
    resolved = resolve("backbone", name, parameters)
    weights = choose_weights(resolved, weights, weights_sha256)
    return cast(Backbone | Precomputed, resolved.build(weights=weights, device=device))


def choose_weights(backbone: Resolved, request: str | Path | None, sha256: str | None = None) -> Path | None:
    """The weights file of a backbone: the given one, else the released one if it is there, else None.

    Raises:
        ConfigError: a SHA-256 without a file, or see `crbench.registry.weight_files.find_weights`.
        DataError: the file is missing or another, or several released ones are there.
    """
    if request is None and backbone.released is not None:
        request = find_released(backbone.released)
    if request is not None:
        return find_weights(request, sha256)
    if sha256 is not None:
        raise ConfigError(f"weights_sha256 {sha256}: backbone {backbone.name!r} uses no weights file; give --weights")
    return None


def load_aligner(name: str, **parameters: Any) -> Aligner:
    """An aligner that is ready to be fitted.

    Example:
        >>> load_aligner("vpfa/paper", hidden=512).hidden
        512
    """
    return cast(Aligner, resolve("aligner", name, parameters).build())


def load_dataset(name: str, **parameters: Any) -> Dataset:
    """A data set; nothing is read before its `split` is asked for.

    Example:
        >>> sorted(load_dataset("mlr-synthetic").protocols)[0]
        'mlr'
    """
    return cast(Dataset, resolve("dataset", name, parameters).build())


def list_plugins() -> tuple[PluginRecord, ...]:
    """All backbones, aligners, data sets, distances and metrics that are installed, and the plugins that are broken.

    Example:
        >>> "vpfa" in {record.name for record in list_plugins() if record.kind == "aligner"}
        True
    """
    return tuple(installed().records())
