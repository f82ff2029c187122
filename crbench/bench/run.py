"""One benchmark: the device's ceilings, then stage by stage, then the verdict."""

from __future__ import annotations

from datetime import UTC, datetime

import attrs

from crbench.api.context import Progress, RunContext
from crbench.api.interfaces import Precomputed
from crbench.bench.ceilings import Ceilings, measure_ceilings, tf32
from crbench.bench.fit import fit_pace
from crbench.bench.hardware import DeviceState, device_state
from crbench.bench.plan import BenchSpec
from crbench.bench.records import Bench, Measured, Status
from crbench.bench.repeat import LEAST, repeat
from crbench.bench.stages import Stages, Work, count_flops
from crbench.errors import ConfigError
from crbench.harness.environment import describe_environment, pick_device
from crbench.harness.record import component
from crbench.registry.resolve import Resolved, choose_weights
from crbench.results import Component

_DIM = 2048


def bench(spec: BenchSpec, *, progress: Progress | None = None, command: str = "") -> Bench:
    """Measure what `spec` asks for.

    Args:
        progress: shows progress; silent by default.
        command: kept in the record.

    Raises:
        CrbenchError: something cannot be measured as asked.

    Example:
        >>> record = bench(BenchSpec(stages=["distance"], device="cpu", dim=8, query=4, gallery=40, budget_s=0.01))
        >>> record.stages[0].unit, record.stages[0].flops
        ('queries', 2560)
    """
    wanted = spec.wanted()
    device = pick_device(spec.device)
    backbone, aligner = spec.resolved()
    built = None if backbone is None else backbone.build(weights=choose_weights(backbone, spec.weights), device=device)
    if backbone is not None and isinstance(built, Precomputed) and "forward" in wanted:
        raise ConfigError(f"backbone {backbone.name!r} has no network; name other stages, e.g. --stage transform")
    dim = spec.dim or (_DIM if built is None else built.dim)
    stages = Stages(spec, device, dim, None if isinstance(built, Precomputed) else built, aligner)
    before = device_state(device)
    measured: list[Measured] = []
    with (progress or RunContext().progress)(len(wanted) + 1, "bench", "stage") as bar, tf32(spec.tf32):
        ceilings = measure_ceilings(device, spread=spec.spread, budget_s=spec.budget_s)
        bar.advance()
        for stage in wanted:
            measured += _fit(stages) if stage == "fit" else _stage(stages, stage, ceilings)
            bar.advance()
    after = device_state(device)
    status, reasons = verdict(measured, (before, after), spec.spread)
    return Bench(
        status=status,
        reasons=reasons,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        backbone=_component(backbone),
        aligner=_component(aligner),
        dim=dim,
        settings=_settings(spec),
        environment=describe_environment(device),
        before=before,
        after=after,
        ceilings=ceilings,
        stages=measured,
        command=command,
    )


def verdict(stages: list[Measured], states: tuple[DeviceState, ...], spread: float) -> tuple[Status, tuple[str, ...]]:
    """Whether the numbers may be published, and if not, why."""
    held = sorted({reason for state in states for reason in state.throttled})
    if held:
        return "throttled", tuple(f"the device is held back: {reason}" for reason in held)
    noisy = [
        f"{one.stage}, {one.scenario}: the median is known to within {100 * one.seconds.spread:.1f} % only "
        f"(wanted {100 * spread:g} %)"
        for one in stages
        if one.seconds.spread > spread
    ]
    return ("noisy", tuple(noisy)) if noisy else ("ok", ())


def _stage(stages: Stages, stage: str, ceilings: Ceilings) -> list[Measured]:
    spec, measured = stages.spec, []
    for work in stages.work(stage):
        quantiles, first_s = repeat(
            work.call, stages.device, spread=spec.spread, budget_s=spec.budget_s, least=work.least or LEAST
        )
        flops = count_flops(work)
        plain = Measured(
            stage=work.stage,
            scenario=work.scenario,
            batch=work.batch,
            unit=work.unit,
            seconds=quantiles,
            per_second=work.batch / quantiles.median,
            first_s=first_s,
            parameters=work.parameters,
        )
        measured.append(_shared(plain, work, flops, _peak(spec, stage, ceilings), ceilings))
    return measured


def _shared(plain: Measured, work: Work, flops: int | None, peak: float | None, ceilings: Ceilings) -> Measured:
    median = plain.seconds.median
    return attrs.evolve(
        plain,
        flops=flops,
        bytes=work.bytes,
        macs_per_sample=None if flops is None else flops / 2 / work.batch,
        flop_share=None if flops is None or peak is None else flops / median / peak,
        bytes_share=None if work.bytes is None else work.bytes / median / ceilings.bytes_per_s,
    )


def _fit(stages: Stages) -> list[Measured]:
    """The stage ``fit``. Its operations are not counted, since the training is stopped on its way."""
    spec = stages.spec
    aligner, train = stages.training()
    quantiles, first_s, unit = fit_pace(
        aligner, train, device=stages.device, spread=spec.spread, budget_s=spec.budget_s
    )
    return [
        Measured(
            stage="fit",
            scenario="Offline",
            batch=1,
            unit=unit,
            seconds=quantiles,
            per_second=1 / quantiles.median,
            first_s=first_s,
        )
    ]


def _peak(spec: BenchSpec, stage: str, ceilings: Ceilings) -> float | None:
    """The ceiling of the arithmetic that a stage uses; None where it was not measured."""
    if stage == "forward" and spec.amp != "off":
        return ceilings.flop_per_s.get(spec.amp)
    return ceilings.flop_per_s.get("tf32" if spec.tf32 else "fp32", ceilings.flop_per_s["fp32"])


def _component(part: Resolved | None) -> Component | None:
    return None if part is None else component(part, weights_sha256=part.file_sha256)


def _settings(spec: BenchSpec) -> dict[str, object]:
    named = (
        "dataset",
        "dim",
        "query",
        "gallery",
        "samples",
        "batch_size",
        "amp",
        "compile",
        "tf32",
        "precision",
        "spread",
    )
    return {**{name: getattr(spec, name) for name in named}, "budget_s": spec.budget_s, "set": dict(spec.settings)}
