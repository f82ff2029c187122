"""Two benchmarks side by side: ratios of throughput, and what else is different between them."""

from __future__ import annotations

from typing import Any

import attrs

from crbench.bench.records import Bench, Measured
from crbench.errors import ComparisonError


@attrs.frozen
class Ratio:
    """Throughput of one stage in two benchmarks, in units per second, and second over first."""

    stage: str
    scenario: str
    unit: str
    first: float
    second: float

    @property
    def ratio(self) -> float:
        """How many times as fast the second is."""
        return self.second / self.first


@attrs.frozen
class Comparison:
    """What `compare` finds.

    Attributes:
        rows: stages that both measured.
        differences: (name, value in the first, value in the second) of what decides speed beside the code and differs.
        unmatched: stages that one lacks.
        unfit: stages that are not compared, as a number is not fit to be published: which, where and why.
    """

    rows: tuple[Ratio, ...]
    differences: tuple[tuple[str, str, str], ...]
    unmatched: tuple[str, ...]
    unfit: tuple[str, ...]


def compare(first: Bench, second: Bench) -> Comparison:
    """Compare two benchmarks.

    Raises:
        ComparisonError: they share no stage, or none whose numbers are fit to be published.
    """
    left, right = ({_key(m): m for m in one.stages} for one in (first, second))
    if not left.keys() & right.keys():
        raise ComparisonError(
            f"no stage in common: {', '.join(sorted({m.stage for m in first.stages}))} and "
            f"{', '.join(sorted({m.stage for m in second.stages}))}; measure both with the same options"
        )
    fit = [{_key(one) for one in bench.fit_stages} for bench in (first, second)]
    shared = [key for key in left if key in fit[0] & fit[1]]
    unfit = [
        f"{name} benchmark: {reason}"
        for name, bench in (("first", first), ("second", second))
        for reason in bench.unfit
    ]
    if not shared:
        raise ComparisonError(f"nothing is fit to be compared: {unfit[0]}; measure again when quiet")
    rows = tuple(Ratio(*key, left[key].per_second, right[key].per_second) for key in shared)
    batches = [
        (f"batch of {key[0]}, {key[1]}", str(left[key].batch), str(right[key].batch))
        for key in shared
        if left[key].batch != right[key].batch
    ]
    facts = {name: (a, b) for name, a, b in _facts(first, second) if a != b}
    unmatched = tuple(f"{key[0]}, {key[1]}" for key in (*left, *right) if key not in shared)
    differences = (*((name, str(a), str(b)) for name, (a, b) in facts.items()), *batches)
    return Comparison(rows, differences, unmatched, tuple(unfit))


def _key(one: Measured) -> tuple[str, str, str]:
    return one.stage, one.scenario, one.unit


def _facts(first: Bench, second: Bench) -> list[tuple[str, Any, Any]]:
    """(name, value in the first, value in the second) of what decides speed beside the code."""
    left, right = (_own_facts(one) for one in (first, second))
    return [(name, left.get(name), right.get(name)) for name in dict.fromkeys([*left, *right])]


def _own_facts(one: Bench) -> dict[str, Any]:
    parts = {"backbone": one.backbone, "aligner": one.aligner}
    environment = ("device", "cpu", "threads", "torch", "numpy", "python", "crbench")
    return {
        **{name: getattr(one.environment, name) for name in environment},
        **{name: part and f"{part.name} {dict(part.parameters)}" for name, part in parts.items()},
        "dim": one.dim,
        "driver": one.after.driver,
        "power limit": one.after.power_limit_w,
        **{
            name: value
            for name, value in one.settings.items()
            if name not in ("budget_s", "apart_s", "dim", "spread", "set")
        },
    }
