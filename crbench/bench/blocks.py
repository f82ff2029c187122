"""Measuring every stage twice, in two blocks with time between them, and what the two say together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from crbench.bench.ceilings import copy_rate
from crbench.bench.load import Load, LoadMeter, heavier
from crbench.bench.records import Measured, Scenario
from crbench.bench.repeat import Quantiles, Sample
from crbench.bench.stages import Stages, Work


@attrs.frozen(kw_only=True)
class Timed:
    """One piece of work as one block measured it.

    Attributes:
        sample: its calls.
        load: what else the machine did meanwhile; None = not known.
        copied: bytes per second of a copy of as many bytes; None where those are not known.

    The other fields are those of `crbench.bench.records.Measured`.
    """

    stage: str
    scenario: Scenario
    batch: int
    unit: str
    parameters: int | None
    flops: int | None
    bytes: int | None
    sample: Sample
    load: Load | None
    copied: float | None


def measure_block(stages: Stages, wanted: Sequence[str], done: Callable[[], object]) -> list[Timed]:
    """Measure the stages one after the other; `done` is called after each."""
    timed = []
    for stage in wanted:
        timed += [_timed(stages, work) for work in stages.work(stage)]
        done()
    return timed


def together(first: Timed, second: Timed) -> Measured:
    """One number from two blocks: the quantiles of all calls; its shares and reasons are not settled yet."""
    if (first.unit, first.batch) != (second.unit, second.batch):
        raise ValueError(f"{first.batch} {first.unit} and {second.batch} {second.unit} are two pieces of work")
    seconds = Quantiles.of([*first.sample.seconds, *second.sample.seconds])
    copied = [rate for rate in (first.copied, second.copied) if rate is not None]
    return Measured(
        stage=first.stage,
        scenario=first.scenario,
        batch=first.batch,
        unit=first.unit,
        seconds=seconds,
        medians=(first.sample.quantiles.median, second.sample.quantiles.median),
        per_second=first.batch / seconds.median,
        first_s=first.sample.first_s,
        parameters=first.parameters,
        flops=first.flops,
        bytes=first.bytes,
        macs_per_sample=None if first.flops is None else first.flops / 2 / first.batch,
        copy_bytes_per_s=max(copied, default=None),
        load=heavier(first.load, second.load),
    )


def _timed(stages: Stages, work: Work) -> Timed:
    spec = stages.spec
    meter = LoadMeter()
    sample = work.sample(stages.device, spread=spec.spread, budget_s=spec.budget_s)
    load = meter.read()
    copied = None
    if work.bytes is not None:
        copied = copy_rate(work.bytes, stages.device, spread=spec.spread, budget_s=min(1.0, spec.budget_s))
    return Timed(
        stage=work.stage,
        scenario=work.scenario,
        batch=work.batch,
        unit=sample.unit or work.unit,
        parameters=work.parameters,
        flops=work.count_flops(),
        bytes=work.bytes,
        sample=sample,
        load=load,
        copied=copied,
    )
