"""Seconds come from what was measured, and from nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crbench.harness.paces import Paces, Sample, pace
from crbench.prediction.figures import REACH, UNKNOWN, Figures
from crbench.store.cache import Cache

OF = {"backbone": "b"}


@pytest.fixture
def paces(tmp_path):
    return Paces(Cache(tmp_path), {"cpu": "here"})


def test_what_was_never_measured_is_not_known(paces):
    for figure in (Figures(paces).linear(("network", OF)), Figures(paces).near(10, ("fit", OF))):
        assert (figure.pace, figure.basis, figure.seconds(10)) == (None, UNKNOWN, None)


def test_seconds_grow_with_the_count(paces):
    paces.add("network", OF, 100, 2.0)
    paces.keep()
    figure = Figures(paces).linear(("network", OF))
    assert figure.seconds(1000) == pytest.approx(20.0)
    assert figure.basis.startswith("run: 20")


def test_the_first_pace_that_is_known_counts_and_is_named(paces):
    paces.add("network alone", OF, 10, 1.0)
    paces.keep()
    figure = Figures(paces).linear(("network", OF), ("network alone", OF))
    assert (figure.pace, figure.basis.partition(",")[0]) == (0.1, "network alone")


@pytest.mark.parametrize(("asked", "known"), [(25, True), (24, False), (400, True), (401, False)])
def test_a_step_is_not_told_from_one_of_quite_another_size(paces, asked, known):
    assert REACH == 4
    paces.add("fit", OF, 100, 5.0)
    paces.keep()
    found = Figures(paces).near(asked, ("fit", OF)).seconds(asked)
    assert found == (pytest.approx(0.05 * asked) if known else None)


def test_samples_of_the_nearest_size_count(paces):
    for count, seconds in ((100, 5.0), (300, 6.0), (100, 7.0)):
        paces.add("fit", OF, count, seconds)
    paces.keep()
    assert Figures(paces).near(310, ("fit", OF)).seconds(300) == pytest.approx(6.0)
    assert Figures(paces).near(90, ("fit", OF)).seconds(100) in (5.0, 7.0)


def test_a_step_that_counts_nothing_takes_what_it_took(paces):
    paces.add("fit", OF, 0, 0.5)
    paces.keep()
    assert Figures(paces).near(0, ("fit", OF)).seconds(0) == 0.5


@given(st.lists(st.tuples(st.integers(0, 1000), st.floats(0, 1e4)), min_size=1, max_size=9))
def test_a_pace_is_one_of_those_measured_and_half_the_work_was_no_slower(samples):
    made = [Sample(count=count, seconds=seconds) for count, seconds in samples]
    found = pace(made)
    each = [(seconds / max(1, count), max(1, count)) for count, seconds in samples]
    assert found in [one for one, _ in each]
    assert 2 * sum(weight for one, weight in each if one <= found) >= sum(weight for _, weight in each)
    assert 2 * sum(weight for one, weight in each if one < found) < sum(weight for _, weight in each)
