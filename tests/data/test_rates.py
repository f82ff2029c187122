from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crbench.data.rates import ASSIGNMENTS, from_heights, quantise

TRAINED = st.lists(st.integers(1, 9).map(float), min_size=1, unique=True)


@given(TRAINED)
@pytest.mark.parametrize("assign", ASSIGNMENTS)
def test_a_trained_rate_has_its_own_level_and_the_largest_is_level_one(assign, trained):
    levels = quantise(sorted(trained, reverse=True), trained, assign)
    assert levels.tolist() == list(range(1, len(trained) + 1))


@given(st.floats(1, 12), TRAINED)
def test_any_rate_has_the_level_of_the_neighbour_that_is_asked_for(rate, trained):
    rate = float(np.float32(rate))
    ordered = sorted(trained, reverse=True)
    finer = [r for r in trained if r <= rate] or [min(trained)]
    coarser = [r for r in trained if r >= rate] or [max(trained)]
    found = {assign: ordered[quantise([rate], trained, assign)[0] - 1] for assign in ASSIGNMENTS}
    assert found["finer"] == max(finer)
    assert found["coarser"] == min(coarser)
    assert abs(1 / found["nearest"] - 1 / rate) == pytest.approx(min(abs(1 / r - 1 / rate) for r in trained), abs=1e-6)


TIES = [(4, (3, 6)), (1.5, (1, 3)), (2.4, (2, 3)), (1.6, (1, 4)), (1.2, (1, 1.5))]
"""A rate whose 1/r is halfway between those of two others."""


@pytest.mark.parametrize(("rate", "trained"), TIES)
def test_of_two_equally_near_rates_the_finer_is_taken(rate, trained):
    finer, coarser = (Fraction(str(other)) for other in trained)
    assert 2 / Fraction(str(rate)) == 1 / finer + 1 / coarser
    assert quantise([rate], trained).tolist() == [2]


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 40))
def test_of_two_equally_near_heights_the_finer_rate_is_taken(fine, more, unit):
    finer, coarser = fine, fine + more
    full = 2 * finer * coarser * unit
    assert from_heights([(finer + coarser) * unit], full, trained=(finer, coarser)).tolist() == [finer]


def test_the_two_ways_to_a_rate_agree_on_ties():
    assert from_heights([64], 256, trained=(3, 6)).tolist() == [3]
    assert from_heights([96], 256, trained=(2, 4)).tolist() == [2]


def test_many_rows_are_rounded_as_each_alone():
    rates = np.random.default_rng(0).choice([1, 1.5, 2.4, 3, 4, 7.5, 9], 1000).astype(np.float32)
    alone = [quantise([rate], (1, 2, 3, 6))[0] for rate in rates]
    assert quantise(rates, (1, 2, 3, 6)).tolist() == alone
    assert quantise(rates.reshape(10, 100), (1, 2, 3, 6)).shape == (10, 100)
    assert quantise([], (1, 2)).tolist() == []
    assert from_heights([], 256, (2,)).tolist() == []


def test_rates_of_table_vi():
    assert quantise([3, 6], (1, 2, 4, 8)).tolist() == [2, 1], "in 1/r, 3 is nearer to 4 and 6 to 8"


def test_what_cannot_be_assigned_is_refused():
    with pytest.raises(ValueError, match="assign"):
        quantise([1], (1, 2), "best")
    with pytest.raises(ValueError, match="at least one"):
        quantise([1], ())


@given(st.sampled_from([1.0, 2.0, 3.0, 4.0]), st.integers(64, 512))
def test_heights_give_rates_away(rate, full):
    assert from_heights([full / rate], full, trained=(2, 3, 4)).tolist() == [rate]
    assert from_heights([10 * full], full, trained=(2, 3, 4)).tolist() == [1]
