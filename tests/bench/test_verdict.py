"""Which numbers may be published, and why not."""

from __future__ import annotations

import pytest

from crbench.bench.hardware import DeviceState
from crbench.bench.load import Load
from crbench.bench.records import Measured
from crbench.bench.repeat import Quantiles
from crbench.bench.verdict import machine_reasons, stage_reasons

QUIET = Load(seconds=5.0, processors=2, others=0.02, stolen=0.0, average=1.0)
BUSY = Load(seconds=5.0, processors=2, others=0.9, stolen=0.0, average=2.0)


def measured(seconds=(1.0,) * 20, medians=(1.0, 1.0), load=QUIET):
    return Measured(
        stage="fit",
        scenario="Offline",
        batch=1,
        unit="steps",
        seconds=Quantiles.of(seconds),
        medians=medians,
        per_second=1.0,
        first_s=1.0,
        load=load,
    )


def test_a_quiet_machine_and_two_equal_blocks_are_fit():
    assert stage_reasons(measured(), 0.05) == ()
    assert stage_reasons(measured(load=None), 0.05) == ()
    assert machine_reasons((DeviceState(busy=1),), (QUIET, None), 0.04, 0.05) == ()


def test_a_wide_interval():
    (reason,) = stage_reasons(measured([1.0] * 5 + [2.0] * 5), 0.05)
    assert reason.startswith("noisy: the median is known to within")
    assert "(wanted 5 %)" in reason


@pytest.mark.parametrize(("medians", "fit"), [((1.0, 1.09), True), ((1.0, 1.2), False), ((2.3, 1.0), False)])
def test_two_blocks_that_disagree(medians, fit):
    reasons = stage_reasons(measured(medians=medians), 0.05)
    assert (reasons == ()) is fit
    assert fit or f"took {max(medians):.2f} times as long" in reasons[0]


def test_a_steady_foreign_load():
    """It slows every call by as much, so no interval and no second block shows it."""
    assert stage_reasons(measured(load=BUSY), 0.05) == (
        "disturbed: other work had 0.90 of 2 processors, a hypervisor 0.00",
    )


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (((DeviceState(throttled=["temperature"]),), (QUIET, QUIET), 0.0), "throttled: the device is held back: temp"),
        (((DeviceState(busy=40), DeviceState()), (QUIET, QUIET), 0.0), "disturbed: other work had 40 % of the device"),
        (((), (BUSY, QUIET), 0.0), "disturbed: before the first stage, other work had 0.90 of 2"),
        (((), (QUIET, BUSY), 0.0), "disturbed: after the last stage, other work had 0.90 of 2"),
        (((), (QUIET, QUIET), 0.5), "changing: what the device attains differs by 50 % between start and end"),
    ],
)
def test_what_makes_every_number_unfit(given, reason):
    (found,) = machine_reasons(*given, 0.05)
    assert found.startswith(reason)
