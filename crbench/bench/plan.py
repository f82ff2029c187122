"""What to measure, checked before anything is measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from attrs import validators as v

from crbench.api.entry import Kind
from crbench.config.amp import AMP
from crbench.config.run_spec import RunSpec, build_spec
from crbench.errors import ConfigError
from crbench.registry.request import Request
from crbench.registry.resolve import Resolved, resolve
from crbench.wording import plain_fault

if TYPE_CHECKING:
    from crbench.harness.plan import Job

STAGES: Mapping[str, str] = {
    "decode": "decode and resize images, by threads",
    "forward": "the backbone's network, on images that are on the device already",
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
    """What to measure, as a user asks for it.

    Attributes:
        stages: names of `STAGES`; empty = all that the named parts allow.
        backbone, aligner, dataset: ``NAME[/PRESET]``. Stages of a part that is None are left out. Without a data set,
            images and features are synthetic.
        settings: ``part.name`` to value, as in ``--set``.
        weights, data_root: as for ``crbench run``.
        device: ``auto`` or a torch device.
        dim: length of the features; None = the backbone's, else 2048.
        query, gallery: rows of the evaluation.
        samples: images to decode, and the most rows that an aligner transforms in one call.
        batch_size: images per network call; None = the best of several.
        amp, compile, tf32: arithmetic of the network.
        precision: of the evaluation's products.
        spread: largest `crbench.bench.repeat.Quantiles.spread` of a number that is fit to be published.
        budget_s: seconds after which a measurement stops; ten repeats are made whatever they cost.
        apart_s: seconds, at least, from the start of the first block of measurements to that of the second.
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
    apart_s: float = attrs.field(default=10.0, validator=v.ge(0))

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

    def run_spec(self, device: str = "auto") -> RunSpec:
        """The run of the data set's first trial with the same method and options: what the stage ``run`` measures.

        Raises:
            ConfigError: no data set, or a value that a run refuses.
        """
        named = {name: getattr(self, name) for name in ("dataset", "backbone", "aligner", "weights", "data_root")}
        shared = {name: getattr(self, name) for name in ("amp", "compile", "precision")}
        own = {"trial": "0", "device": device, "batch_size": self.batch_size or "auto", "set": dict(self.settings)}
        off = dict.fromkeys(("cache", "resume", "baseline"), False)
        given = {name: value for name, value in named.items() if value is not None}
        return build_spec({**given, **shared, **own, **off}, "bench")

    def resolved(self) -> tuple[Resolved | None, Resolved | None]:
        """Backbone and aligner with their parameters, as ``crbench run`` resolves them.

        A data set chooses default presets. For the stage ``run``, a backbone or aligner that is not named is the data
        set's default backbone and the aligner ``none``.

        Raises:
            ConfigError, PluginError: see `crbench.harness.plan.make_plan`; a setting that belongs to no part.
        """
        if self.dataset is None:
            return self._alone()
        job = self.job()
        whole = "run" in self.wanted()
        return job.backbone if self.backbone or whole else None, job.aligners[0] if self.aligner or whole else None

    def job(self) -> Job:
        """The one job of `run_spec`.

        Raises:
            ConfigError, PluginError: see `crbench.harness.plan.make_plan`.
        """
        from crbench.harness.plan import make_plan

        return make_plan(self.run_spec()).jobs[0]

    def _alone(self) -> tuple[Resolved | None, Resolved | None]:
        """Backbone and aligner by themselves; a setting names its part, or the method."""
        requests: dict[Kind, str | None] = {"backbone": self.backbone, "aligner": self.aligner}
        found: dict[Kind, Resolved | None] = dict.fromkeys(requests)
        known: set[str] = set()
        for kind, request in requests.items():
            if request is not None:
                parts = (kind, Request.parse(request).name)
                known.update(parts)
                found[kind] = resolve(kind, request, {name: v for part in parts for name, v in self._changes(part)})
        for key in self.settings:
            if key.partition(".")[0] not in known:
                raise ConfigError(
                    f"--set {key}: no such part here; known: {', '.join(sorted(known)) or 'none'} (name a backbone, an "
                    "aligner or a data set)"
                )
        return found["backbone"], found["aligner"]

    def _changes(self, part: str) -> Iterator[tuple[str, Any]]:
        return ((key.partition(".")[2], v) for key, v in self.settings.items() if key.partition(".")[0] == part)


def checked_spec(**values: Any) -> BenchSpec:
    """A `BenchSpec` from what a user gave.

    Raises:
        ConfigError: a value out of range.

    Example:
        >>> checked_spec(query=0)
        Traceback (most recent call last):
        crbench.errors.ConfigError: query: 0 is out of range; expected a value at least 1
    """
    try:
        return BenchSpec(**values)
    except (ValueError, TypeError) as error:
        raise ConfigError(plain_fault(error)) from error
