"""How close each stage comes to what the device attains.

A share is never above 1: nothing can be faster than what is attainable, so a stage that beats the plain product or copy
is the better measure of it, and says so in its note.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from crbench.bench.ceilings import Ceilings
from crbench.bench.plan import BenchSpec
from crbench.bench.records import Measured


def with_shares(stages: Sequence[Measured], ceilings: Ceilings, spec: BenchSpec) -> tuple[list[Measured], Ceilings]:
    """The stages with their shares, and the ceilings, raised to what the stages attained."""
    peaks = dict(ceilings.flop_per_s)
    for one in stages:
        precision = _precision(spec, one.stage, ceilings)
        if precision is not None and one.flops is not None:
            peaks[precision] = max(peaks[precision], one.flops / one.seconds.median)
    raised = attrs.evolve(ceilings, flop_per_s=peaks)
    return [_shared(one, ceilings, raised, spec) for one in stages], raised


def _shared(one: Measured, plain: Ceilings, raised: Ceilings, spec: BenchSpec) -> Measured:
    notes, precision = [], _precision(spec, one.stage, plain)
    flop_share = bytes_share = None
    if precision is not None and one.flops is not None:
        rate = one.flops / one.seconds.median
        flop_share = rate / raised.flop_per_s[precision]
        if rate > plain.flop_per_s[precision]:
            notes.append(f"{_above(rate, plain.flop_per_s[precision])} the plain {precision} product")
    if one.bytes is not None and one.copy_bytes_per_s is not None:
        rate = one.bytes / one.seconds.median
        bytes_share = min(1.0, rate / one.copy_bytes_per_s)
        if rate > one.copy_bytes_per_s:
            notes.append(f"{_above(rate, one.copy_bytes_per_s)} a copy of as many bytes")
    return attrs.evolve(one, flop_share=flop_share, bytes_share=bytes_share, note="; ".join(notes))


def _above(rate: float, ceiling: float) -> str:
    return f"{rate / ceiling:.2f} times as fast as"


def _precision(spec: BenchSpec, stage: str, ceilings: Ceilings) -> str | None:
    """The ceiling that a stage's operations are compared with; None where it was not measured.

    An evaluation that is free to choose its products may count by integers or halves, which are faster.
    """
    if stage == "evaluate":
        wanted = spec.precision
    elif stage == "forward" and spec.amp != "off":
        wanted = spec.amp
    else:
        wanted = "tf32" if spec.tf32 and "tf32" in ceilings.flop_per_s else "fp32"
    return wanted if wanted in ceilings.flop_per_s else None
