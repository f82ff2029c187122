"""Shares of the attainable, which no stage exceeds."""

from __future__ import annotations

import pytest

from crbench.bench import BenchSpec
from crbench.bench.ceilings import Ceilings
from crbench.bench.records import Measured
from crbench.bench.repeat import Quantiles
from crbench.bench.shares import with_shares

CEILINGS = Ceilings(bytes_per_s=1e9, flop_per_s={"fp32": 100.0, "bf16": 400.0})


def measured(stage="distance", **fields):
    """A stage whose calls take a second."""
    plain = {"scenario": "Offline", "batch": 1, "unit": "queries", "per_second": 1.0, "first_s": 1.0}
    seconds = Quantiles.of([1.0] * 10)
    return Measured(stage=stage, seconds=seconds, medians=(1.0, 1.0), **{**plain, **fields})


def test_shares_are_of_the_product_and_of_a_copy_of_as_many_bytes():
    (one,), ceilings = with_shares([measured(flops=50, bytes=30, copy_bytes_per_s=40.0)], CEILINGS, BenchSpec())
    assert (one.flop_share, one.bytes_share, one.note) == (0.5, 0.75, "")
    assert ceilings == CEILINGS


def test_a_stage_that_beats_the_plain_product_raises_what_is_attainable_for_all():
    fast, slow = measured(flops=200), measured("transform", flops=50)
    stages, ceilings = with_shares([fast, slow], CEILINGS, BenchSpec())
    assert [one.flop_share for one in stages] == [1.0, 0.25]
    assert ceilings.flop_per_s == {"fp32": 200.0, "bf16": 400.0}
    assert [one.note for one in stages] == ["2.00 times as fast as the plain fp32 product", ""]


def test_a_stage_that_beats_a_copy_of_as_many_bytes_says_so():
    (one,), _ = with_shares([measured(bytes=60, copy_bytes_per_s=40.0)], CEILINGS, BenchSpec())
    assert (one.bytes_share, one.note) == (1.0, "1.50 times as fast as a copy of as many bytes")


@pytest.mark.parametrize(
    ("stage", "options", "share"),
    [
        ("evaluate", {}, None),
        ("evaluate", {"precision": "int8"}, None),
        ("evaluate", {"precision": "fp32"}, 0.8),
        ("forward", {"amp": "bf16"}, 0.2),
        ("forward", {"amp": "fp16"}, None),
        ("forward", {"tf32": True}, 0.8),
        ("transform", {"amp": "bf16"}, 0.8),
    ],
)
def test_operations_are_compared_with_a_product_of_the_same_arithmetic_only(stage, options, share):
    (one,), ceilings = with_shares([measured(stage, flops=80)], CEILINGS, BenchSpec(**options))
    assert one.flop_share == share
    assert ceilings == CEILINGS
