"""Why a number is not fit to be published; no reason = it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from crbench.bench.hardware import DeviceState
from crbench.bench.load import Load
from crbench.bench.records import Measured

_BUSY = 5
"""Per cent of a GPU's time that count as other work on it; a display takes less."""


def stage_reasons(one: Measured, spread: float) -> tuple[str, ...]:
    """What is wrong with the number of one stage.

    Args:
        spread: how well a median must be known; those of the two blocks may differ by twice as much.
    """
    reasons = []
    if one.seconds.spread > spread:
        reasons.append(
            f"noisy: the median is known to within {100 * one.seconds.spread:.1f} % only (wanted {100 * spread:g} %)"
        )
    slower, faster = max(one.medians), min(one.medians)
    if slower > faster * (1 + 2 * spread):
        reasons.append(f"changing: one of two blocks of measurements took {slower / faster:.2f} times as long")
    if one.load is not None and one.load.disturbs:
        reasons.append(f"disturbed: {one.load}")
    return tuple(reasons)


def machine_reasons(
    states: Iterable[DeviceState], loads: Sequence[Load | None], drift: float, spread: float
) -> tuple[str, ...]:
    """What is wrong with every number of a benchmark.

    Args:
        states: of the device, before and after.
        loads: before the first stage and after the last one.
        drift: of the ceilings, see `crbench.bench.ceilings.Ceilings.drift`.
    """
    states = tuple(states)
    held = sorted({reason for state in states for reason in state.throttled})
    reasons = [f"throttled: the device is held back: {reason}" for reason in held]
    busy = max((state.busy or 0 for state in states), default=0)
    if busy > _BUSY:
        reasons.append(f"disturbed: other work had {busy} % of the device's time")
    reasons += [
        f"disturbed: {when}, {load}"
        for when, load in zip(("before the first stage", "after the last stage"), loads, strict=True)
        if load is not None and load.disturbs
    ]
    if drift > 2 * spread:
        reasons.append(f"changing: what the device attains differs by {100 * drift:.0f} % between start and end")
    return tuple(reasons)
