"""Repeating until the median is known."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crbench.bench import repeat as module
from crbench.bench.repeat import LEAST, MOST, Quantiles, repeat

seconds = st.lists(st.floats(min_value=1e-6, max_value=10), min_size=1, max_size=60)


@given(seconds)
def test_the_quantiles_are_in_order(values):
    q = Quantiles.of(values)
    assert q.fastest <= q.low <= q.high <= max(values)
    assert q.fastest <= q.q1 <= q.median <= q.q3 <= q.p90 <= q.p99
    assert q.low <= q.median <= q.high
    assert q.repeats == len(values)


def test_equal_times_have_no_spread():
    assert Quantiles.of([2.0] * 10).spread == 0


def ticking(monkeypatch, times):
    values = iter(times)
    monkeypatch.setattr(module, "call_seconds", lambda work, device: (work(), next(values))[1])


def test_it_stops_as_soon_as_the_median_is_known(monkeypatch):
    ticking(monkeypatch, itertools.repeat(1.0))
    calls = []
    sample = repeat(lambda: calls.append(0), "cpu", spread=0.01, budget_s=1e9)
    assert sample.quantiles.repeats == LEAST
    assert len(calls) == LEAST + 2  # two to warm up


def test_it_goes_on_while_the_median_is_not_known(monkeypatch):
    ticking(monkeypatch, itertools.cycle([1.0, 2.0]))
    assert len(repeat(int, "cpu", spread=0.01, budget_s=1e9).seconds) == MOST


@pytest.mark.parametrize("least", [3, 10])
def test_a_spent_budget_ends_it(monkeypatch, least):
    ticking(monkeypatch, itertools.cycle([1.0, 2.0]))
    assert len(repeat(int, "cpu", spread=0.01, budget_s=0, least=least).seconds) == least


class FakeEvent:
    def __init__(self, enable_timing):
        assert enable_timing

    def record(self, stream):
        assert stream == "stream"

    def synchronize(self):
        pass

    def elapsed_time(self, other):
        assert isinstance(other, FakeEvent)
        return 250.0


def test_cuda_is_timed_by_events(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: "stream")
    assert module.call_seconds(int, "cuda:0") == 0.25
