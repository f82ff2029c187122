"""Metrics over ranks: the same bits as the formulas of one query, and what must hold of any of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metrics import oracle

from crbench.metrics.ap import average_precision
from crbench.metrics.cmc import match_curve
from crbench.metrics.inp import inverse_negative_penalty
from crbench.metrics.ndcg import normalised_gain

RULES = ("step", "trapezoid")


@st.composite
def ranked(draw, most=8):
    """Ranks, starts and candidates of a few queries, some without a positive."""
    lists = draw(st.lists(st.lists(st.integers(1, 60), max_size=most, unique=True).map(sorted), min_size=1, max_size=6))
    starts = np.cumsum([0, *map(len, lists)])
    ranks = np.array([rank for hits in lists for rank in hits], dtype=np.int64)
    return ranks, starts, np.full(len(lists), 60)


def one_by_one(case, formula):
    """f64[q], a formula of one query for each."""
    ranks, starts, _ = case
    return [formula(ranks[a:b]) if b > a else np.nan for a, b in itertools.pairwise(starts.tolist())]


def of(hits):
    """The arrays of one query."""
    return np.array(hits), np.array([0, len(hits)]), np.array([60])


@given(ranked(most=40), st.sampled_from(RULES))
def test_ap_has_the_bits_of_the_formula_for_one_query(case, rule):
    expected = one_by_one(case, lambda hits: oracle.average_precision(hits, rule))
    np.testing.assert_array_equal(average_precision(*case, ap=rule), expected)


@given(ranked())
def test_inp_has_the_bits_of_the_formula_for_one_query(case):
    np.testing.assert_array_equal(inverse_negative_penalty(*case), one_by_one(case, oracle.inverse_negative_penalty))


@given(ranked())
def test_a_curve_rises_at_the_first_match(case):
    curves, length = match_curve(*case[:2]), 50
    expected = [
        np.full(length, value) if np.isscalar(value) else value
        for value in one_by_one(case, lambda hits: oracle.curve(hits, length))
    ]
    np.testing.assert_array_equal(curves, expected)
    assert (np.diff(curves[np.diff(case[1]) > 0]) >= 0).all()


@given(ranked())
def test_ndcg_equals_the_sum_down_the_list(case):
    np.testing.assert_allclose(normalised_gain(*case), one_by_one(case, lambda hits: oracle.gain(hits, 60)), rtol=1e-12)


@given(ranked())
def test_what_holds_of_all_of_them(case):
    metrics = {
        "step": average_precision(*case),
        "trapezoid": average_precision(*case, ap="trapezoid"),
        "inp": inverse_negative_penalty(*case),
        "ndcg": normalised_gain(*case),
    }
    matched = np.diff(case[1]) > 0
    for values in metrics.values():
        np.testing.assert_array_equal(np.isnan(values), ~matched)
        assert ((values[matched] > 0) & (values[matched] <= 1)).all()
    first = case[0][case[1][:-1][matched]]
    assert ((metrics["trapezoid"] <= metrics["step"])[matched] | (first == 1)).all()


@given(st.integers(1, 500))
def test_inp_is_ap_for_a_single_match(rank):
    assert inverse_negative_penalty(*of([rank])) == average_precision(*of([rank]))


@given(ranked())
def test_a_query_does_not_depend_on_the_others(case):
    ranks, starts, _ = case
    for metric in (average_precision, inverse_negative_penalty, normalised_gain):
        alone = [metric(*of(ranks[a:b])).item() for a, b in itertools.pairwise(starts.tolist())]
        np.testing.assert_array_equal(metric(*case), alone)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_perfect_list_gives_one(count):
    case = of(range(1, count + 1))
    for rule in RULES:
        assert average_precision(*case, ap=rule) == 1
    assert inverse_negative_penalty(*case) == normalised_gain(*case) == 1


def test_by_hand():
    assert average_precision(*of([2])) == 0.5
    assert average_precision(*of([2]), ap="trapezoid") == 0.25
    assert inverse_negative_penalty(*of([1, 5])) == 0.4
    assert normalised_gain(*of([3])) == 0.5
