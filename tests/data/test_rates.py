from __future__ import annotations

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
