from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crbench.metrics import rank
from crbench.metrics.single_shot import placed_within


@given(st.lists(st.integers(1, 60), min_size=1, max_size=9, unique=True))
def test_precisions_are_between_inp_and_one(hits):
    ranks = np.sort(np.array(hits))
    step, trapezoid = (rank.average_precision(ranks, rule) for rule in ("step", "trapezoid"))
    assert 0 < trapezoid <= 1
    assert trapezoid <= step or ranks[0] == 1
    assert step <= 1


def test_average_precision_by_hand():
    assert rank.average_precision(np.array([1, 2, 3]), "step") == 1
    assert rank.average_precision(np.array([1, 2, 3]), "trapezoid") == 1
    assert rank.average_precision(np.array([2]), "step") == 0.5
    assert rank.average_precision(np.array([2]), "trapezoid") == 0.25


@settings(max_examples=100)
@given(st.data())
def test_placed_within_equals_enumeration(data):
    sizes = np.array([3, *data.draw(st.lists(st.integers(2, 4), max_size=6))])
    ahead = np.array([[data.draw(st.integers(0, int(size))) for size in sizes]])
    ranks = data.draw(st.integers(1, 12))
    expected = np.zeros(ranks)
    shares = ahead[0, 1:] / sizes[1:]
    for outcome in itertools.product((0, 1), repeat=len(shares)):
        chance = np.prod(np.where(outcome, shares, 1 - shares))
        expected += chance * (np.arange(ranks) >= ahead[0, 0] + sum(outcome))
    np.testing.assert_allclose(placed_within(ahead, sizes, ranks), [expected], atol=1e-12)


def test_hopeless_positives_are_given_up_without_an_error():
    sizes = np.array([0, *[100] * 400])
    ahead = np.array([[0, *[99] * 400], [0, *[0] * 400], [0, *[1] * 400]])
    within = placed_within(ahead, sizes, 5)
    assert within[0].max() < 1e-25
    assert (within[1] == 1).all()
    poisson = np.exp(-4) * np.cumsum([1, 4, 8, 32 / 3, 32 / 3])
    assert within[2] == pytest.approx(poisson, rel=0.05)
