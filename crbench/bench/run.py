"""One benchmark: the device's ceilings, every stage, a while later every stage and the ceilings again, the verdict."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import attrs

from crbench.api.context import Progress, RunContext, Tracker
from crbench.api.interfaces import Backbone, Precomputed
from crbench.bench.blocks import measure_block, together
from crbench.bench.ceilings import Ceilings, measure_ceilings, tf32
from crbench.bench.hardware import device_state
from crbench.bench.load import watch
from crbench.bench.plan import BenchSpec
from crbench.bench.records import Bench
from crbench.bench.shares import with_shares
from crbench.bench.stages import Stages
from crbench.bench.verdict import machine_reasons, stage_reasons
from crbench.bench.whole import keep_network
from crbench.errors import ConfigError
from crbench.harness.environment import describe_environment, pick_device
from crbench.harness.record import component
from crbench.registry.load import choose_weights
from crbench.registry.resolve import Resolved
from crbench.results import Component

_QUIET_S = 1.0
"""Seconds for which the machine is watched before and after, while this process sleeps."""

_DIM = 2048


def bench(spec: BenchSpec, *, progress: Progress | None = None, command: str = "") -> Bench:
    """Measure what `spec` asks for.

    Args:
        progress: shows progress; silent by default.
        command: kept in the record.

    Raises:
        CrbenchError: something cannot be measured as asked.

    Example:
        >>> record = bench(BenchSpec(stages=["distance"], device="cpu", dim=8, query=4, gallery=40, budget_s=0.01,
        ...                          apart_s=0))
        >>> record.stages[0].unit, record.stages[0].flops
        ('queries', 2560)
    """
    backbone, aligner = spec.resolved()
    built = build_backbone(backbone, spec.weights, pick_device(spec.device))
    if backbone is not None and isinstance(built, Precomputed) and "forward" in spec.wanted():
        raise ConfigError(f"backbone {backbone.name!r} has no network; name other stages, e.g. --stage transform")
    return bench_method(spec, backbone, built, aligner, progress=progress, command=command)


def build_backbone(backbone: Resolved | None, weights: Path | None, device: str) -> Backbone | Precomputed | None:
    """A backbone with given weights, else with the released ones if they are there, else untrained.

    Raises:
        CrbenchError: see `crbench.registry.load.load_backbone`.
    """
    if backbone is None:
        return None
    built: Backbone | Precomputed = backbone.build(weights=choose_weights(backbone, weights), device=device)
    return built


def bench_method(
    spec: BenchSpec,
    backbone: Resolved | None,
    built: Backbone | Precomputed | None,
    aligner: Resolved | None,
    *,
    progress: Progress | None = None,
    command: str = "",
) -> Bench:
    """Measure what `spec` asks for, with a backbone that is there already (`built`) and an aligner that is resolved.

    Raises:
        CrbenchError: something cannot be measured as asked.
    """
    wanted, device = spec.wanted(), pick_device(spec.device)
    dim = spec.dim or (_DIM if built is None else built.dim)
    stages = Stages(spec, device, dim, None if isinstance(built, Precomputed) else built, aligner)
    load_before = watch(_QUIET_S)
    before = device_state(device)
    with (progress or RunContext().progress)(2 * len(wanted) + 2, "bench", "stage") as bar, tf32(spec.tf32):
        at_start = _ceilings(spec, device, bar)
        started = time.monotonic()
        first = measure_block(stages, wanted, bar.advance)
        time.sleep(max(0.0, spec.apart_s - (time.monotonic() - started)))
        second = measure_block(stages, wanted, bar.advance)
        at_end = _ceilings(spec, device, bar)
    load_after = watch(_QUIET_S)
    after = device_state(device)
    plain = [together(*pair) for pair in zip(first, second, strict=True)]
    if backbone is not None:
        keep_network(spec, backbone, plain, device)
    shared, ceilings = with_shares(plain, at_start.best(at_end), spec)
    drift = at_start.drift(at_end)
    return Bench(
        reasons=machine_reasons((before, after), (load_before, load_after), drift, spec.spread),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        backbone=_component(backbone),
        aligner=_component(aligner),
        dim=stages.dim,
        settings=_settings(spec),
        environment=describe_environment(device, (backbone, aligner)),
        before=before,
        after=after,
        load_before=load_before,
        load_after=load_after,
        ceilings=ceilings,
        drift=drift,
        stages=[attrs.evolve(one, reasons=stage_reasons(one, spec.spread)) for one in shared],
        command=command,
    )


def _ceilings(spec: BenchSpec, device: str, bar: Tracker) -> Ceilings:
    measured = measure_ceilings(device, spread=spec.spread, budget_s=spec.budget_s)
    bar.advance()
    return measured


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
        "budget_s",
        "apart_s",
    )
    return {**{name: getattr(spec, name) for name in named}, "set": dict(spec.settings)}
