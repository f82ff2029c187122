"""The share of a gap that a row closes: against plain loops, and where there is no gap to speak of."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from people import random_trials, shuffled, trial
from scipy import stats

from crbench.errors import DataError
from crbench.statistics import TrialQueries, gap_closed
from crbench.statistics.draws import drawn_weights

PEOPLE = 40


def three_rows(seed: int, *, none: float, row: float, bound: float) -> list[list[TrialQueries]]:
    """Four queries of each person in two trials, answered with these probabilities; the bound is asked at rate 1."""
    rng = np.random.default_rng(seed)
    pids = np.repeat(np.arange(PEOPLE), 4)
    return [
        [trial(pids, rng.random(len(pids)) < hits, index=index, rates=[rate] * len(pids)) for index in range(2)]
        for hits, rate in ((row, "2"), (none, "2"), (bound, "1"))
    ]


def test_loops_by_hand_agree() -> None:
    row, none, bound = three_rows(3, none=0.3, row=0.6, bound=0.9)
    found = gap_closed(row, none, bound, "R1", replicates=300)

    def score(trials: list[TrialQueries], drawn: list[float]) -> float:
        means = []
        for one in trials:
            hits = [drawn[pid] * value for pid, value in zip(one.pids, one.values["R1"], strict=True)]
            means.append(sum(hits) / sum(drawn[pid] for pid in one.pids))
        return sum(means) / len(means)

    def share(drawn: list[float]) -> float:
        a, n, b = (score(trials, drawn) for trials in (row, none, bound))
        return (a - n) / (b - n)

    replicates = [share(drawn) for block in drawn_weights(np.arange(PEOPLE), 0, 300) for drawn in block.tolist()]
    tail = stats.norm.cdf(-np.sqrt(PEOPLE / (PEOPLE - 1)) * stats.t.ppf(0.975, PEOPLE - 1))
    ordered = sorted(replicates)
    assert found is not None
    assert found.share == pytest.approx(share([1.0] * PEOPLE))
    assert found.low == pytest.approx(ordered[int(np.floor(tail * 299))])
    assert found.high == pytest.approx(ordered[int(np.ceil((1 - tail) * 299))])
    assert found.low < found.share < found.high


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_queries_and_trials_decides_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    row = random_trials(rng, people=8, trials=3)
    none = [attrs.evolve(one, values={"R1": np.zeros(len(one.pids))}) for one in row]
    bound = [attrs.evolve(one, values={"R1": np.ones(len(one.pids))}, rates=np.full(len(one.pids), "1")) for one in row]
    first = gap_closed(row, none, bound, "R1", replicates=50)
    mixed = [[shuffled(trials[place], rng) for place in rng.permutation(3)] for trials in (row, none, bound)]
    assert first is not None
    assert gap_closed(*mixed, "R1", replicates=50) == first


def test_the_baseline_closes_nothing_and_the_bound_everything() -> None:
    _, none, bound = three_rows(0, none=0.2, row=0.5, bound=0.9)
    nothing, everything = gap_closed(none, none, bound, "R1"), gap_closed(bound, none, bound, "R1")
    assert nothing is not None
    assert everything is not None
    assert attrs.astuple(nothing) == (0, 0, 0)
    assert attrs.astuple(everything) == (1, 1, 1)


def test_no_share_of_a_gap_of_the_wrong_sign() -> None:
    assert gap_closed(*three_rows(0, none=0.8, row=0.7, bound=0.3), "R1") is None


def test_where_there_is_no_gap_hardly_ever_a_share_is_given() -> None:
    """Of 200 tables without a gap 2.5 % would be 5; 0.1 % of the time they are more than 13."""
    rows = (three_rows(seed, none=0.5, row=0.7, bound=0.5) for seed in range(200))
    assert sum(gap_closed(*three, "R1", replicates=400) is not None for three in rows) <= 13


def test_the_interval_holds_the_true_share_as_often_as_it_says() -> None:
    """Of 200 tables with a true share of one half; 95 % of them would be 190, and 0.1 % of the time less than 178."""
    held = 0
    for seed in range(200):
        found = gap_closed(*three_rows(seed, none=0.4, row=0.6, bound=0.8), "R1", replicates=400)
        held += found is not None and found.low <= 0.5 <= found.high
    assert held >= 178


def test_an_image_that_is_asked_for_twice_cannot_be_paired() -> None:
    row, none, bound = three_rows(0, none=0.2, row=0.5, bound=0.9)
    twice = [attrs.evolve(one, keys=np.array(["a"] * len(one.pids))) for one in row]
    with pytest.raises(DataError, match="occurs twice"):
        gap_closed(twice, none, bound, "R1")
