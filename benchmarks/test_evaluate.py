"""The evaluator: 500 queries of 100 people against 2,000 gallery items, 256-d, clustered features."""

from __future__ import annotations

import numpy as np
import pytest

from crbench import EvalProtocol, evaluate, features_from_arrays

PEOPLE, DIM = 100, 256


@pytest.fixture(scope="module")
def sides():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(PEOPLE, DIM))

    def side(count):
        people = rng.integers(0, PEOPLE, count)
        return features_from_arrays(centres[people] + rng.normal(size=(count, DIM)), pids=people + 1)

    return side(500), side(2000)


@pytest.mark.parametrize("shot", ["multi", "single:exact", "single:mc:10"])
@pytest.mark.parametrize("engine", ["torch", "reference"])
def test_evaluate(benchmark, sides, engine, shot):
    scores = benchmark.pedantic(
        evaluate, (*sides, EvalProtocol.of(shot=shot)), {"engine": engine}, rounds=3, warmup_rounds=1
    ).scores
    assert scores.n_valid == 500
