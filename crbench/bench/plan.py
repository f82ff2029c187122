"""What to measure, checked before anything is measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import validators as v

from crbench.config import AMP
from crbench.errors import ConfigError
from crbench.loading import Resolved, resolve

STAGES: Mapping[str, str] = {
    "decode": "decode and resize pictures, by threads",
    "forward": "the backbone's network, on pictures that are on the device",
    "fit": "steps of the aligner's training, or whole fits where it has no steps",
    "transform": "the fitted aligner",
    "distance": "matrix product of query and gallery features, nothing else",
    "ranking": "the evaluation from given distances",
    "evaluate": "the whole evaluation from features",
    "run": "crbench run, from files to scores (with a data set only)",
}
"""Stages by name."""

_NEEDS = {"forward": "backbone", "fit": "aligner", "transform": "aligner", "run": "dataset"}
_POSITIVE = [v.instance_of(int), v.ge(1)]


def _strings(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class BenchSpec:
    """A wish.

    Attributes:
        stages: names of `STAGES`; empty = all that the named parts allow.
        backbone, aligner, dataset: ``NAME[/PRESET]``; None leaves their stages out, and without a data set pictures and
            features are synthetic.
        settings: ``part.name`` to value, as in ``--set``.
        weights, data_root: as for ``crbench run``.
        device: ``auto`` or a torch device.
        dim: length of the features; None = the backbone's, else 2048.
        query, gallery: rows of the evaluation.
        samples: pictures to decode, and the most rows that an aligner transforms in one call.
        batch_size: images per network call; None = the best of several.
        amp, compile, tf32: arithmetic of the network.
        precision: of the evaluation's products.
        spread: see `crbench.bench.repeat.Quantiles.spread`; what is wider is not published.
        budget_s: seconds for each measurement, after ten repeats.
    """

    stages: tuple[str, ...] = attrs.field(default=(), converter=_strings)
    backbone: str | None = None
    aligner: str | None = None
    dataset: str | None = None
    settings: Mapping[str, Any] = attrs.field(factory=dict)
    weights: Path | None = None
    data_root: Path | None = None
    device: str = "auto"
    dim: int | None = attrs.field(default=None, validator=v.optional(_POSITIVE))
    query: int = attrs.field(default=1024, validator=_POSITIVE)
    gallery: int = attrs.field(default=8192, validator=_POSITIVE)
    samples: int = attrs.field(default=1024, validator=_POSITIVE)
    batch_size: int | None = attrs.field(default=None, validator=v.optional(_POSITIVE))
    amp: str = attrs.field(default="off", validator=v.in_(AMP))
    compile: bool = False
    tf32: bool = False
    precision: str = "auto"
    spread: float = attrs.field(default=0.05, validator=v.gt(0))
    budget_s: float = attrs.field(default=5.0, validator=v.gt(0))

    def wanted(self) -> tuple[str, ...]:
        """The stages to measure, in the order of `STAGES`.

        Raises:
            ConfigError: an unknown stage, or one whose part is not named.
        """
        for stage in self.stages:
            if stage not in STAGES:
                raise ConfigError(f"unknown stage {stage!r}; known: {', '.join(STAGES)}")
            if stage in _NEEDS and getattr(self, _NEEDS[stage]) is None:
                raise ConfigError(f"stage {stage!r} needs a method or data; name it with --{_NEEDS[stage]}")
        return tuple(stage for stage in STAGES if stage in (self.stages or self._possible()))

    def _possible(self) -> tuple[str, ...]:
        return tuple(stage for stage in STAGES if stage not in _NEEDS or getattr(self, _NEEDS[stage]) is not None)

    def resolved(self) -> tuple[Resolved | None, Resolved | None]:
        """Backbone and aligner with their parameters.

        Raises:
            ConfigError, PluginError: see `crbench.loading.resolve`; a setting that belongs to no part.
        """
        parts = {"backbone": self.backbone, "aligner": self.aligner}
        for key in self.settings:
            if key.partition(".")[0] not in {kind for kind, wish in parts.items() if wish}:
                raise ConfigError(f"--set {key}: no such part here; known: backbone.NAME and aligner.NAME, where named")
        backbone = resolve("backbone", self.backbone, self._changes("backbone")) if self.backbone else None
        aligner = resolve("aligner", self.aligner, self._changes("aligner")) if self.aligner else None
        return backbone, aligner

    def _changes(self, part: str) -> dict[str, Any]:
        return {key.partition(".")[2]: value for key, value in self.settings.items() if key.startswith(f"{part}.")}


def checked_spec(**values: Any) -> BenchSpec:
    """A `BenchSpec` from what a user gave.

    Raises:
        ConfigError: a value out of range.

    Example:
        >>> checked_spec(query=0)
        Traceback (most recent call last):
        crbench.errors.ConfigError: 'query' must be >= 1: 0
    """
    try:
        return BenchSpec(**values)
    except (ValueError, TypeError) as error:
        raise ConfigError(str(error.args[0])) from error
