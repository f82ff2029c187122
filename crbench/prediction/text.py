"""Predictions as people and programs read them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import attrs
from tabulate import tabulate

from crbench.prediction.figures import UNKNOWN
from crbench.prediction.steps import Prediction, Step

_HEADERS = ("step", "of", "kept already", "tasks", "images", "MACs", "read", "written", "memory", "seconds")
_LEFT = ("left", "left", "left", *["right"] * 7)
_SCALES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def as_text(prediction: Prediction) -> str:
    """A table of the steps, their sum and their longest chain, and what seconds are taken from."""
    rows = [_cells(step) for step in prediction.steps]
    table = tabulate(rows, headers=_HEADERS, disable_numparse=True, colalign=_LEFT)
    seconds, chain = prediction.chain
    memory = prediction.memory_bytes
    least = "" if prediction.whole else "at least "
    lines = [
        f"one process: {least}{_seconds(prediction.seconds)} s; memory: at least {_scaled(memory, 'B')}",
        f"longest chain: {least}{_seconds(seconds)} s, so no workers need less: {', '.join(map(_named, chain))}",
        "seconds from: " + "; ".join(_bases(prediction.steps)),
    ]
    return "\n".join([table, "", *lines]) + "\n"


def as_json(predictions: Sequence[Prediction]) -> str:
    """Everything, for programs."""
    found = []
    for prediction in predictions:
        seconds, chain = prediction.chain
        found.append(
            {
                "steps": [attrs.asdict(step) for step in prediction.steps],
                "seconds": prediction.seconds,
                "whole": prediction.whole,
                "unknown": [step.key for step in prediction.unknown],
                "memory_bytes": prediction.memory_bytes,
                "chain": {"seconds": seconds, "steps": [step.key for step in chain]},
                "notes": list(prediction.notes),
            }
        )
    return json.dumps(found, indent=2) + "\n"


def _cells(step: Step) -> tuple[str, ...]:
    return (
        step.name,
        step.of,
        step.kept,
        "" if step.tasks == 1 else f"{step.tasks:,}",
        "" if step.images is None else f"{step.images:,}",
        _scaled(step.macs, ""),
        _scaled(step.read_bytes, "B") if step.read_bytes else "",
        _scaled(step.written_bytes, "B") if step.written_bytes else "",
        "" if step.memory_bytes is None else _scaled(step.memory_bytes, "B"),
        _seconds(step.seconds),
    )


def _scaled(value: int | None, unit: str) -> str:
    """Three digits with a decimal prefix; nothing for 0.

    Example:
        >>> _scaled(1_234_567, "B"), _scaled(None, ""), _scaled(0, "")
        ('1.23 MB', '?', '')
    """
    if value is None:
        return "?"
    if value == 0:
        return ""
    scale, prefix = next(((scale, prefix) for scale, prefix in _SCALES if value >= scale), (1.0, ""))
    return f"{value / scale:.3g} {prefix}{unit}".rstrip()


def _seconds(seconds: float | None) -> str:
    """Two digits at least: what is predicted is no more exact."""
    if seconds is None:
        return "?"
    return f"{seconds:,.0f}" if seconds >= 10 else f"{seconds:.2g}" if seconds >= 0.01 else "0"


def _named(step: Step) -> str:
    return f"{step.name} {step.of}" if step.name in ("fit", "evaluate") else step.name


def _bases(steps: Sequence[Step]) -> list[str]:
    """Each basis with the steps that have it."""
    found: dict[str, list[str]] = {}
    for step in steps:
        if step.basis:
            found.setdefault(step.basis, []).append(_named(step) if step.basis == UNKNOWN else step.name)
    return [f"{basis} ({', '.join(dict.fromkeys(names))})" for basis, names in found.items()]
