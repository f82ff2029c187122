from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crbench.ranking.distance import distances, norms, tree_sum, unit

ROWS = np.random.default_rng(0).normal(size=(50, 301)).astype(np.float32).astype(np.float64)


def padded_tree_sum(terms):
    """The definition as it is stated: pad with zeros to a power of two, fold halves."""
    terms = list(terms)
    while len(terms) & (len(terms) - 1):
        terms.append(0.0)
    while len(terms) > 1:
        half = len(terms) // 2
        terms = [a + b for a, b in zip(terms[:half], terms[half:], strict=True)]
    return terms[0]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_tree_sum_folds_padded_halves(terms):
    assert tree_sum(np.array(terms)) == padded_tree_sum(terms)
    assert tree_sum(np.array(terms)) == pytest.approx(math.fsum(terms), abs=1e-8)


@pytest.mark.parametrize("columns", [1, 2, 3, 64, 255, 301])
def test_libraries_give_equal_bits(columns):
    a, b = ROWS[:25, :columns], ROWS[25:, :columns]
    ta, tb = torch.from_numpy(a), torch.from_numpy(b)
    np.testing.assert_array_equal(norms(a), norms(ta).numpy())
    np.testing.assert_array_equal(unit(a), unit(ta).numpy())
    for dot in (True, False):
        rows = distances(a, b, dot=dot)
        np.testing.assert_array_equal(rows, distances(ta, tb, dot=dot).numpy())
        np.testing.assert_array_equal(rows, [distances(p, q, dot=dot) for p, q in zip(a, b, strict=True)])


def test_distances_by_hand():
    a, b = np.array([[1.0, 2.0, 3.0]]), np.array([[0.0, 2.0, 5.0]])
    assert distances(a, b, dot=True).tolist() == [-19]
    assert distances(a, b, dot=False).tolist() == [5]
    assert norms(np.array([[3.0, 4.0]])).tolist() == [5]


def test_arguments_are_left_alone():
    a, b = ROWS[:2].copy(), ROWS[2:4].copy()
    unit(a), distances(a, b, dot=True), distances(a, b, dot=False)
    np.testing.assert_array_equal(a, ROWS[:2])
    np.testing.assert_array_equal(b, ROWS[2:4])
