"""Ten thousand queries that are hard to rank, and ten thousand draws: what must be shown of every engine."""

from __future__ import annotations

import math

import numpy as np
import pytest
from evaluation.comparing import assert_same

from crbench import EvalProtocol, evaluate, features_from_arrays
from crbench.evaluation import ENGINES, PRECISIONS

QUERIES, ITEMS = 500, 48
WAYS = [(engine, precision) for engine in ENGINES if engine not in ("reference", "cupy") for precision in PRECISIONS]
DRAWS = 10_000


def duplicates(rng, columns):
    """A few rows, each many times: exact ties."""
    return rng.normal(size=(5, columns))[rng.integers(0, 5, QUERIES + ITEMS)]


def neighbours_of_one_ulp(rng, columns):
    """Rows of which one element was moved to the next float32."""
    base = rng.normal(size=(4, columns)).astype(np.float32)
    x = base[rng.integers(0, 4, QUERIES + ITEMS)]
    row, place = np.arange(len(x)), rng.integers(0, columns, len(x))
    x[row, place] = np.nextafter(x[row, place], rng.choice([-9, 9], len(x)).astype(np.float32))
    return x


def huge_and_tiny_norms(rng, columns):
    """One direction and its near neighbours, from denormal to the largest float32."""
    scales = np.array([1e-40, 1e-30, 1e-10, 1.0, 1e10, 1e36])
    return neighbours_of_one_ulp(rng, columns).astype(float) * rng.choice(scales, QUERIES + ITEMS)[:, None]


def far_from_the_origin(rng, columns):
    """Small differences of large vectors, where an expanded square cancels."""
    return 1e4 + rng.integers(0, 2, (QUERIES + ITEMS, columns)) * 2.0**-9


def constant(rng, columns):
    """Every row the same."""
    return np.full((QUERIES + ITEMS, columns), 0.3)


KINDS = [duplicates, neighbours_of_one_ulp, huge_and_tiny_norms, far_from_the_origin, constant]
RULES = [
    {"distance": "cosine", "ties": "pessimistic"},
    {"distance": "cosine", "ties": "optimistic"},
    {"distance": "euclidean", "normalise": "none", "ties": "pessimistic"},
    {"distance": "euclidean", "normalise": "none", "ties": "optimistic"},
]


def test_there_are_ten_thousand_queries():
    assert len(KINDS) * len(RULES) * QUERIES >= 10_000


@pytest.mark.parametrize("rules", RULES, ids=lambda rules: " ".join(rules.values()))
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_engines_and_precisions_agree_on_near_ties(kind, rules):
    rng = np.random.default_rng(11)
    x = kind(rng, 37)
    pids = np.arange(len(x)) % 6
    query = features_from_arrays(x[:QUERIES], pids[:QUERIES])
    gallery = features_from_arrays(x[QUERIES:], pids[QUERIES:])
    protocol = EvalProtocol.of(shot="multi", **rules)
    expected = evaluate(query, gallery, protocol, engine="reference")
    for engine, precision in WAYS:
        found = evaluate(query, gallery, protocol, engine=engine, precision=precision)
        assert found.ambiguous > 0, "no near tie in the data"
        assert_same(found, expected)


def test_the_expectation_lies_within_the_sampling_error_of_ten_thousand_draws():
    rng = np.random.default_rng(4)
    query = features_from_arrays(rng.normal(size=(12, 3)), np.arange(12) % 6 + 1, camids=np.ones(12, dtype=int))
    pids, cameras = rng.permutation(np.arange(40) % 8), rng.integers(1, 4, 40)
    gallery = features_from_arrays(rng.normal(size=(40, 3)), pids, camids=cameras)
    exact = evaluate(query, gallery, EvalProtocol.of(shot="single:exact")).per_query.cmc
    drawn = evaluate(query, gallery, EvalProtocol.of(shot=f"single:mc:{DRAWS}")).per_query.cmc
    # Bernstein's inequality for each figure, and all of them together by the union bound: were the expectation right,
    # one choice of draws in 10^6 would lie outside
    bits = math.log(2 * exact.size / 1e-6)
    bound = np.sqrt(2 * exact * (1 - exact) * bits / DRAWS) + bits / (3 * DRAWS)
    assert (np.abs(drawn - exact) <= bound).all()
    assert bound.max() < 0.05, "a bound that says something"
    # the expectation of a gallery that lacks one image is told apart
    other = evaluate(query, gallery.take(np.arange(1, 40)), EvalProtocol.of(shot="single:exact")).per_query.cmc
    assert (np.abs(drawn - other) > bound).any()
