"""What else the machine does while it is measured."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from crbench.bench import load as module
from crbench.bench.load import Load, LoadMeter, heavier, watch

LINUX = Path("/proc/stat").exists()


def load(**fields):
    return Load(**{"seconds": 1.0, "processors": 2, "others": 0.0, "stolen": 0.0, "average": 0.5, **fields})


class Machine:
    """Counters of four processors, of which this process may use two, and what has passed of each second."""

    def __init__(self, tmp_path, monkeypatch):
        self.file = tmp_path / "stat"
        self.now = self.own = self.others = self.elsewhere = self.stolen = 0.0
        monkeypatch.setattr(module, "_COUNTERS", self.file)
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1, 2})
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(module.time, "process_time", lambda: self.own)
        self.write()

    def write(self):
        busy, elsewhere, stolen = (round(100 * s) for s in (self.own + self.others, self.elsewhere, self.stolen))
        rows = [("cpu", 0, 0), ("cpu0", elsewhere, 0), ("cpu1", busy, stolen), ("cpu2", 0, 0), ("cpu3", elsewhere, 0)]
        lines = [f"{name} {work} 0 0 999 0 0 0 {gone} 0 0" for name, work, gone in rows]
        self.file.write_text("\n".join([*lines, "intr 5", ""]))

    def pass_(self, seconds, **shares):
        self.now += seconds
        for name, share in shares.items():
            setattr(self, name, getattr(self, name) + share * seconds)
        self.write()


@pytest.fixture
def machine(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_tick", lambda: 0.01)
    return Machine(tmp_path, monkeypatch)


def test_what_others_had_is_what_this_process_did_not_use(machine):
    meter = LoadMeter()
    machine.pass_(10, own=0.5, others=0.4, stolen=0.25)
    found = meter.read()
    assert (found.seconds, found.processors) == (10, 2)
    assert found.others == pytest.approx(0.4, abs=0.006)
    assert found.stolen == pytest.approx(0.25, abs=0.002)
    assert found.disturbs


@pytest.mark.parametrize("shares", [{"own": 1.0}, {"elsewhere": 1.0}, {}])
def test_own_work_and_processors_of_others_are_no_load(machine, shares):
    meter = LoadMeter()
    machine.pass_(10, **shares)
    assert not meter.read().disturbs
    assert meter.read().others == 0


def test_a_while_shorter_than_the_ticks_of_the_counters_is_no_load(machine):
    meter = LoadMeter()
    machine.pass_(0.02, others=1.0)
    assert meter.read().others == 0


def test_a_system_that_does_not_count_is_not_known(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_COUNTERS", tmp_path / "nothing")
    assert LoadMeter().read() is None


@pytest.mark.parametrize(
    ("fields", "disturbs"),
    [
        ({"others": 0.05}, False),
        ({"others": 0.15}, True),
        ({"stolen": 0.15}, True),
        ({"others": 0.06, "stolen": 0.06}, True),
        ({"others": 0.5, "processors": 128}, False),
        ({"others": 0.9, "processors": 128}, True),
    ],
)
def test_what_disturbs(fields, disturbs):
    assert load(**fields).disturbs is disturbs


def test_the_heavier_load():
    light, heavy = load(others=0.1), load(stolen=0.3)
    assert heavier(light, heavy) == heavier(heavy, light) == heavy
    assert heavier(None, light) == light
    assert heavier(None, None) is None


@pytest.mark.skipif(not LINUX, reason="only Linux counts the time of every processor")
def test_a_process_that_never_rests_is_seen():
    """It takes a processor of its own, or its share of the one that it is given together with all others."""
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        assert watch(1.0).others > 0.1
    finally:
        busy.kill()
        busy.wait()
