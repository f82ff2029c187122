"""Benchmarks as tables that people read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tabulate import tabulate

from crbench.bench.compare import Comparison
from crbench.bench.records import Bench, Measured
from crbench.published import efficiency
from crbench.results.labels import clean, component_label

_HEADERS = (
    "stage",
    "scenario",
    "batch",
    "per second",
    "median",
    "quartiles",
    "p90",
    "p99",
    "first",
    "FLOP/s",
    "bytes/s",
)


_SHARES = "FLOP/s and bytes/s: achieved, as a share of the attainable; of bytes, that of a copy of as many."


def render(bench: Bench) -> str:
    """What was measured, on which machine, and whether it may be published."""
    parts = [component_label(part) for part in (bench.backbone, bench.aligner) if part is not None]
    env, ceilings = bench.environment, bench.ceilings
    peaks = ", ".join(f"{name} {rate / 1e12:.3g} TFLOP/s" for name, rate in ceilings.flop_per_s.items())
    lines = [
        clean(f"{', '.join(parts) or 'no method'}; features of {bench.dim} columns; {bench.hardware}"),
        clean(f"torch {env.torch}, crbench {env.crbench}, {env.platform}{_driver(bench)}"),
        f"attainable, measured in this run: copy {ceilings.bytes_per_s / 1e9:.3g} GB/s; {peaks}",
    ]
    table = tabulate(
        [_cells(one) for one in bench.stages], headers=_HEADERS, disable_numparse=True, colalign=("left", "left")
    )
    sizes = [
        f"{one.stage}: {_parameters(one)}{one.macs_per_sample:,.0f} MACs per sample"
        for one in bench.stages
        if one.macs_per_sample is not None and one.scenario == "Offline"
    ]
    notes = [f"{one.name}: {clean(one.note)}; it is what is attainable" for one in bench.stages if one.note]
    below = [_SHARES, *sizes, *_printed(bench), *notes, _load(bench)]
    verdict = [f"NOT FIT TO PUBLISH: {clean(reason)}" for reason in bench.unfit]
    return "\n".join([*lines, "", table, "", *below, *verdict]) + "\n"


def _printed(bench: Bench) -> Iterator[str]:
    """What papers print of these stages, beside what was measured here."""
    for one in bench.stages:
        for told in efficiency():
            if bench.aligner is None or one.scenario != "Offline":
                continue
            own = one.per_second if told.quantity == "throughput" else one.parameters
            if (told.aligner, told.stage) == (bench.aligner.name, one.stage) and own is not None:
                yield (
                    f"published of {told.method}, {one.stage}: {told.value:,.0f} {told.unit} ({told.source}; "
                    f"{told.note}); here {own:,.0f}, ratio {own / told.value:.3g}"
                )


def render_comparison(comparison: Comparison, names: tuple[str, str]) -> str:
    """Throughput side by side, and what else differs."""
    rows: Sequence[tuple[str, ...]] = [
        (row.stage, row.scenario, row.unit, f"{row.first:.4g}", f"{row.second:.4g}", f"{row.ratio:.3f}")
        for row in comparison.rows
    ]
    first, second = names
    headers = ("stage", "scenario", "per second", clean(first), clean(second), "ratio")
    text = tabulate(rows, headers=headers, disable_numparse=True, colalign=("left", "left", "left"))
    notes = [f"differs: {clean(name)}: {clean(a)} | {clean(b)}" for name, a, b in comparison.differences]
    missing = [f"in one file only: {clean(name)}" for name in comparison.unmatched]
    unfit = [f"left out: {clean(reason)}" for reason in comparison.unfit]
    below = [*notes, *missing, *unfit]
    return "\n".join([text, *([""] if below else []), *below]) + "\n"


def _driver(bench: Bench) -> str:
    state = bench.after
    if state.driver is None:
        return ""
    return f", driver {state.driver}, {state.sm_mhz} MHz, {state.power_w} of {state.power_limit_w} W"


def _load(bench: Bench) -> str:
    """What the machine did beside the measurements."""
    loads = [load for load in (bench.load_before, bench.load_after, *(one.load for one in bench.stages)) if load]
    if not loads:
        return "other work on the machine: not known on this system"
    return f"at most, at any time: {max(loads, key=lambda load: load.others + load.stolen)}"


def _cells(one: Measured) -> tuple[str, ...]:
    s = one.seconds
    return (
        one.stage,
        one.scenario,
        str(one.batch),
        f"{one.per_second:.4g} {one.unit}",
        _time(s.median),
        f"{_time(s.q1)} to {_time(s.q3)}",
        _time(s.p90),
        _time(s.p99),
        _time(one.first_s),
        _share(one.flop_share),
        _share(one.bytes_share),
    )


def _parameters(one: Measured) -> str:
    return "" if one.parameters is None else f"{one.parameters:,} parameters, "


def _share(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _time(seconds: float) -> str:
    for size, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"
