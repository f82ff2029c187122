"""All numbers of an evaluation, to compare two of them bit for bit."""

from __future__ import annotations

import numpy as np


def numbers(evaluation):
    """What was found and scored, per query and as means, by name."""
    outcomes, per_query = evaluation.outcomes, evaluation.per_query
    ranks = outcomes.ranks
    return {
        **({} if ranks is None else {"ranks": ranks.ranks, "starts": ranks.starts, "candidates": ranks.candidates}),
        "cmc": per_query.cmc,
        **per_query.values,
        "valid": per_query.valid,
        **{
            f"{name} of {rate}": value
            for rate, scores in {"all": evaluation.scores, **evaluation.by_rate}.items()
            for name, value in {
                "cmc": scores.cmc,
                **scores.means,
                "queries": scores.n_query,
                "valid": scores.n_valid,
            }.items()
        },
    }


def assert_same(one, other):
    """Every number of both is there and equal."""
    found, expected = numbers(one), numbers(other)
    assert list(found) == list(expected)
    for name, value in found.items():
        np.testing.assert_array_equal(value, expected[name], name)
