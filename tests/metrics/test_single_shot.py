from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crbench.metrics.single_shot import expected_curve, placed_within


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


@given(st.data())
def test_a_query_takes_the_mean_over_its_positives_whatever_their_order(data):
    sizes = np.array([4, 2, 3])
    starts = np.cumsum([0, *data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))])
    ahead = np.array([[data.draw(st.integers(0, int(size))) for size in sizes] for _ in range(starts[-1])])
    found = expected_curve(ahead, starts, sizes, 5)
    for query, (start, end) in enumerate(itertools.pairwise(starts)):
        shuffled = ahead[start:end][data.draw(st.permutations(range(end - start)))]
        one = expected_curve(shuffled, np.array([0, end - start]), sizes, 5)
        np.testing.assert_array_equal(found[query], one[0])
        np.testing.assert_allclose(one[0], placed_within(shuffled, sizes, 5).mean(axis=0), rtol=1e-12)
