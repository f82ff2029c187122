"""Speeds that ``crbench bench`` measured, beside the scores of the same method: a column for each stage and machine.

A benchmark belongs to a row when backbone, aligner, presets, parameters and code (versions, where the code is not
known) are the same. The forward pass must have used the same arithmetic too (``--amp``, ``--compile``). Speeds of two
machines never share a column. The stage ``run`` has no column, as it depends on data and protocol too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import attrs

from crbench.leaderboard.joined import component_identity
from crbench.results import Component, Result
from crbench.results.labels import clean, component_label

if TYPE_CHECKING:
    from crbench.bench import Bench

STAGES = ("forward", "fit", "transform")
"""Stages whose speed depends on the method alone, in the order of their columns."""


@attrs.frozen(kw_only=True)
class Speed:
    """One stage of a method on one machine, in the batch of the highest throughput (scenario Offline).

    Attributes:
        machine: device and software that decide speed, on one line.
        stage, unit, batch, per_second: see `crbench.bench.records.Measured`; `per_second` is the median.
        created, command: of the benchmark.
    """

    machine: str
    stage: str
    unit: str
    batch: int
    per_second: float
    created: str
    command: str

    @property
    def key(self) -> tuple[str, int, str]:
        """Speeds with the same key stand in one column: machine, place of the stage in `STAGES`, unit."""
        return self.machine, STAGES.index(self.stage), self.unit

    @property
    def title(self) -> str:
        """Stage and unit: ``transform samples/s``."""
        return f"{self.stage} {self.unit}/s"


def columns_of(speeds: Iterable[Speed]) -> list[Speed]:
    """One of `speeds` for each column, in the order of the columns."""
    found = {speed.key: speed for speed in speeds}
    return [found[key] for key in sorted(found)]


def fit_to_show(benches: Iterable[Bench]) -> list[Bench]:
    """The benchmarks with a number that is fit to be published, oldest first, whatever their order in `benches`."""
    return sorted((b for b in benches if b.fit_stages), key=lambda b: (datetime.fromisoformat(b.created), repr(b)))


def speeds_of(result: Result, benches: Sequence[Bench]) -> tuple[Speed, ...]:
    """The speeds of a result's method, in the order of their columns; the last of `benches` with a column counts."""
    found: dict[tuple[str, int, str], Speed] = {}
    for bench in benches:
        for one in bench.fit_stages:
            if one.stage in STAGES and one.scenario == "Offline" and _belongs(bench, one.stage, result):
                speed = Speed(
                    machine=machine(bench),
                    stage=one.stage,
                    unit=clean(one.unit),
                    batch=one.batch,
                    per_second=one.per_second,
                    created=bench.created,
                    command=clean(bench.command),
                )
                found[speed.key] = speed
    return tuple(columns_of(found.values()))


def machine(bench: Bench) -> str:
    """Device, processor, threads and software that decide speed, on one line."""
    env, state = bench.environment, bench.after
    parts = [
        *([env.device] if env.device != "cpu" else []),
        f"{env.cpu} x{env.threads}",
        f"torch {env.torch}",
        *([f"driver {state.driver}"] if state.driver is not None else []),
        *([f"{state.power_limit_w:g} W"] if state.power_limit_w is not None else []),
        *(["TF32"] if bench.settings.get("tf32") else []),
    ]
    return clean(", ".join(parts))


def left_out(benches: Iterable[Bench], results: Sequence[Result]) -> tuple[str, ...]:
    """One line for each benchmark, or number of one, that has no cell, with the reason."""
    return tuple(
        f"benchmark left out, {_label(bench)}, {clean(bench.created)}: {why}"
        for bench in sorted(benches, key=lambda bench: (bench.created, repr(bench)))
        for why in _why_unused(bench, results)
    )


def _why_unused(bench: Bench, results: Sequence[Result]) -> Iterator[str]:
    """Why no row shows a benchmark, or one of its stages; nothing where a row shows all."""
    stages = [one for one in bench.stages if one.stage in STAGES and one.scenario == "Offline"]
    if not stages:
        yield f"it has none of the stages {', '.join(STAGES)}"
    elif bench.reasons:
        yield clean(f"not fit to publish ({bench.reasons[0]})")
    elif bench.backbone is None:
        yield "it names no backbone, whose features the aligner takes; measure again with --backbone"
    elif not any(_belongs(bench, one.stage, result) for one in stages for result in results):
        yield "no row has this method with the same parameters, code, arithmetic and length of features"
    else:
        for one in stages:
            if one.reasons:
                yield clean(f"{one.stage} is not fit to publish ({one.reasons[0]})")


def _belongs(bench: Bench, stage: str, result: Result) -> bool:
    """Whether a stage was measured with the method of a result."""
    if not _same(bench.backbone, result.method.backbone):
        return False
    if stage == "forward":
        arithmetic = bench.settings.get("amp"), bench.settings.get("compile")
        return arithmetic == (result.extraction.amp, result.extraction.compile)
    # With --dim, features of another length than the backbone's were measured.
    return _same(bench.aligner, result.method.aligner) and bench.settings.get("dim") is None


def _same(one: Component | None, other: Component) -> bool:
    """Whether two components are equal up to what was learned; a weights file that the benchmark names must agree."""
    if one is None or one.weights_sha256 not in (None, other.weights_sha256):
        return False
    return component_identity(one) == component_identity(other)


def _label(bench: Bench) -> str:
    parts = [component_label(part) for part in (bench.backbone, bench.aligner) if part is not None]
    return " + ".join(parts) or "no method"
