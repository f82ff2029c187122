"""The first table of the page: goals, and what was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

Records = Mapping[str, dict[str, Any]]
HEADERS = ("work", "to reach", "measured", "ratio", "reached", "hardware")


@attrs.frozen(kw_only=True)
class Target:
    """One line of the table: `reach` names the goal, `ratio` is the number that it bounds, `holds`: it is met."""

    work: str
    reach: str
    measured: str
    ratio: float
    unit: str
    holds: bool
    part: str


def lines(records: Records) -> list[tuple[str, ...]]:
    """The lines of the table: goals whose part was measured, then those that need a GPU."""
    own = [target for make in _MAKERS for target in make(records)]
    measured = [
        (
            target.work,
            target.reach,
            target.measured,
            f"{target.ratio:.3g} {target.unit}",
            "yes" if target.holds else "no",
            hardware(records[target.part]),
        )
        for target in own
    ]
    return measured + [_on_gpu(goal, records.get("gpu")) for goal in _GPU]


def _on_gpu(goal: GpuGoal, record: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The line of a goal that needs a GPU, measured or not."""
    step = (record or {}).get("steps", {}).get(goal.step)
    if record is None or step is None:
        return goal.work, goal.reach, "not run here", "-", "-", "one NVIDIA H200: none was at hand"
    if not step["ok"]:
        return goal.work, goal.reach, "failed", "-", "no", record["environment"]["device"]
    measured, ratio, holds = goal.judged(step["found"])
    return goal.work, goal.reach, measured, f"{ratio:.3g} x", "yes" if holds else "no", record["environment"]["device"]


def hardware(record: Mapping[str, Any]) -> str:
    """Processor and threads of a record."""
    return f"{record['environment']['cpu']}, {record['threads']} threads"


@attrs.frozen
class GpuGoal:
    """A goal that needs a GPU: `step` of gpu.py measures it, `judged` says how, with the ratio to the goal.

    The better figure in brackets is what the arithmetic of one H200 would allow.
    """

    work: str
    reach: str
    step: str
    judged: Callable[[Mapping[str, Any]], tuple[str, float, bool]]


def _within(fp32_s: float, fastest_s: float) -> Callable[[Mapping[str, Any]], tuple[str, float, bool]]:
    def judged(found: Mapping[str, Any]) -> tuple[str, float, bool]:
        medians = {name: one["median_s"] for name, one in found["seconds"].items()}
        fp32, best = (
            min(s for name, s in medians.items() if name.endswith("fp32")),
            min(medians, key=medians.__getitem__),
        )
        measured = f"{1e3 * fp32:.4g} ms fp32; {1e3 * medians[best]:.4g} ms by {best}"
        return measured, max(fp32 / fp32_s, medians[best] / fastest_s), fp32 <= fp32_s and medians[best] <= fastest_s

    return judged


def _transform_goal(found: Mapping[str, Any]) -> tuple[str, float, bool]:
    best = max(one["samples_per_s"] for one in found["transform"].values())
    return f"{best / 1e6:.3g} M samples/s", best / 12e6, best >= 12e6


def _fit_goal(found: Mapping[str, Any]) -> tuple[str, float, bool]:
    seconds = found["seconds_of_18840"]
    return f"{seconds:.3g} s", seconds / 6, seconds <= 6


def _extraction_goal(found: Mapping[str, Any]) -> tuple[str, float, bool]:
    stages = {name: one for name, one in found["seconds_per_image"].items() if name.startswith("transreid")}
    best = min(stages, key=lambda name: stages[name]["whole"])
    pace, share = 1 / stages[best]["whole"], stages[best]["share"]
    return f"{pace:,.0f} images/s, {100 * share:.0f} % ({best})", share, share >= 0.9


_GPU = (
    GpuGoal(
        "3,368 x 15,913 x 3,840 on the device, ranks exact as in float64",
        "at most 8 ms fp32; 2 ms in the fastest mode (1 ms)",
        "market",
        _within(8e-3, 2e-3),
    ),
    GpuGoal(
        "100,000 x 1,000,000 x 512, exact",
        "at most 2.2 s fp32; 0.5 s in the fastest mode (0.25 s)",
        "large",
        _within(2.2, 0.5),
    ),
    GpuGoal("VPFA transform, 3,840 columns", "at least 12 M samples/s (14.5 M)", "transform", _transform_goal),
    GpuGoal("VPFA fit, 18,840 steps of batch 32", "at most 6 s", "fit", _fit_goal),
    GpuGoal(
        "extraction by TransReID's ViT-B",
        "at least 90 % of the network's own pace (14,000 images/s)",
        "extraction",
        _extraction_goal,
    ),
)


def _seconds(record: Mapping[str, Any], name: str) -> float:
    return float(record["seconds"][name]["median_s"])


def _size(record: Mapping[str, Any]) -> str:
    return f"{record['query']:,} x {record['gallery']:,} x {record['dim']:,}"


def _over_product(records: Records, part: str, line: str, work: str, most: float) -> list[Target]:
    """Goal: a time of a part is at most `most` times that of the matrix product in the same run."""
    if part not in records:
        return []
    record = records[part]
    own, product = _seconds(record, line), _seconds(record, "product alone")
    return [
        Target(
            work=work.format(size=_size(record)),
            reach=f"at most {most:g} x the matrix product",
            measured=f"{own:.4g} s; product {product:.4g} s, NumPy's {_seconds(record, 'product alone, NumPy'):.4g} s",
            ratio=own / product,
            unit="x",
            holds=own <= most * product,
            part=part,
        )
    ]


def _over_fastreid(records: Records, part: str, line: str, least: float) -> list[Target]:
    """Goal: fast-reid takes at least `least` times as long as a time of a part; no goal where it was not measured."""
    peer = next((name for name in records.get(part, {}).get("seconds", {}) if name.startswith("fast-reid")), None)
    if peer is None:
        return []
    record = records[part]
    own, other = _seconds(record, line), _seconds(record, peer)
    return [
        Target(
            work=f"{_size(record)}, {line}, beside fast-reid",
            reach=f"at least {least:g} x as fast",
            measured=f"{own:.4g} s; {peer} {other:.4g} s",
            ratio=other / own,
            unit="x",
            holds=other >= least * own,
            part=part,
        )
    ]


def _market(records: Records) -> list[Target]:
    found = []
    for part in ("market-2048", "market-3840"):
        found += _over_product(records, part, "crbench", "{size}, CMC + mAP + mINP, as it comes", 1.08)
        found += _over_product(records, part, "crbench, fp32", "{size}, CMC + mAP + mINP, float32 products", 1.08)
        found += _over_fastreid(records, part, "crbench", 3)
        if part in records:
            seconds = _seconds(records[part], "crbench, ranking part")
            found.append(
                Target(
                    work=f"{_size(records[part])}, the ranking part alone",
                    reach="at most 0.05 s, nothing to compile at install",
                    measured=f"{seconds:.4g} s",
                    ratio=seconds / 0.05,
                    unit="x 0.05 s",
                    holds=seconds <= 0.05,
                    part=part,
                )
            )
        found += _over_product(records, part, "crbench, int8", "{size}, screened in int8, exact", 0.7)
    return found


def _memory(records: Records) -> list[Target]:
    if "memory" not in records:
        return []
    record = records["memory"]
    peaks = [*record["growing"], *record["others"]]
    worst = max(peaks, key=lambda peak: peak["extra"])
    largest = max(peak["gallery"] for peak in peaks)
    return [
        Target(
            work=f"peak memory beside the features, {len(peaks)} sizes up to {largest:,} items",
            reach="at most 150 MB, any size",
            measured=f"{worst['extra'] / 1e6:.0f} MB, at {_size(worst)}",
            ratio=worst["extra"] / 150e6,
            unit="x 150 MB",
            holds=worst["extra"] <= 150e6,
            part="memory",
        )
    ]


def _large(records: Records) -> list[Target]:
    found = _over_product(records, "large", "crbench", "{size}, as it comes", 1.15)
    found += _over_product(records, "large", "crbench, fp32", "{size}, float32 products", 1.15)
    return found + _over_fastreid(records, "large", "crbench", 16)


def _single_shot(records: Records) -> list[Target]:
    work = "ten single-shot trials, {size}, one product for all"
    return _over_product(records, "single-shot", "crbench, single:mc:10", work, 1.2)


def _vpfa(records: Records) -> list[Target]:
    if "vpfa" not in records:
        return []
    record = records["vpfa"]
    step = record["fit"]["median"]
    return [
        *(
            Target(
                work=f"VPFA transform, {record['dim']:,} columns, {precision}",
                reach="at least 5,000 samples/s",
                measured=f"{one['samples_per_s']:,.0f} samples/s",
                ratio=one["samples_per_s"] / 5000,
                unit="x 5,000/s",
                holds=one["samples_per_s"] >= 5000,
                part="vpfa",
            )
            for precision, one in record["transform"].items()
        ),
        Target(
            work=f"VPFA fit, {record['dim']:,} columns, batch {record['fit']['batch']}",
            reach="at most 46 ms a step",
            measured=f"{1e3 * step:.1f} ms a step",
            ratio=step / 0.046,
            unit="x 46 ms",
            holds=step <= 0.046,
            part="vpfa",
        ),
    ]


def _fit(records: Records) -> list[Target]:
    if "fit" not in records:
        return []
    record = records["fit"]
    first, last = (record["tenths"][place]["processor_s"] for place in (0, -1))  # other jobs take wall time
    return [
        Target(
            work=f"VPFA fit, {record['steps']:,} steps on {record['dim']:,} columns, its last tenth beside its first",
            reach="at most 1.1 x the first",
            measured=f"{1e3 * last:.1f} ms of processor time a step; first {1e3 * first:.1f} ms",
            ratio=last / first,
            unit="x",
            holds=last <= 1.1 * first,
            part="fit",
        )
    ]


def _extraction(records: Records) -> list[Target]:
    return [
        Target(
            work=f"extraction from JPEG by {name}, batches of {records['extraction']['batch']}",
            reach="at least 90 % of the network's own pace",
            measured=f"{100 * one['share']:.0f} %, in turns; {1 / one['whole']:.0f} images/s",
            ratio=one["share"],
            unit="x",
            holds=one["share"] >= 0.9,
            part="extraction",
        )
        for name, one in records.get("extraction", {}).get("seconds_per_image", {}).items()
    ]


_MAKERS: tuple[Callable[[Records], list[Target]], ...] = (
    _market,
    _large,
    _single_shot,
    _memory,
    _vpfa,
    _fit,
    _extraction,
)
