"""Intervals of scores: against plain loops, in any order, and where people, matches or rates are few."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from people import random_trials, shuffled, trial
from scipy import stats

from crbench.results import Interval
from crbench.statistics import TrialQueries, intervals
from crbench.statistics.bootstrap import expanded_tail
from crbench.statistics.draws import drawn_weights

seeds = st.integers(0, 2**32 - 1)

DRAWN = [[2.0, 0.0, 1.0, 1.0], [0.0, 3.0, 1.0, 0.0], [2.0, 2.0, 0.0, 0.0]]
"""How often each of people 1, 2, 5 and 9 is drawn in the first replicates of seed 0."""


def by_hand(trials: list[TrialQueries], name: str, rate: str | None, replicates: int) -> Interval:
    """The interval by plain loops over people, trials and queries."""
    pids = sorted({pid for one in trials for pid in one.pids.tolist()})
    weights = np.concatenate(list(drawn_weights(np.array(pids), 0, replicates))).astype(int).tolist()
    shares = dict.fromkeys(pids, 0.0)
    used = [one for one in trials if rate is None or rate in one.rates]
    for one in used:
        mine = [pid for pid, level in zip(one.pids.tolist(), one.rates, strict=True) if rate in (None, level)]
        for pid in mine:
            shares[pid] += 1 / len(mine) / len(used)
    effective = sum(shares.values()) ** 2 / sum(share**2 for share in shares.values())
    scores = []
    for drawn in weights:
        times = dict(zip(pids, drawn, strict=True))
        means = []
        for one in used:
            values: list[float] = []
            for pid, level, value in zip(one.pids.tolist(), one.rates, one.values[name].tolist(), strict=True):
                if rate in (None, level):
                    values += [value] * times[pid]
            if values:
                means.append(sum(values) / len(values))
        if means:
            scores.append(sum(means) / len(means))
    tail = float(stats.norm.cdf(-np.sqrt(effective / (effective - 1)) * stats.t.ppf(0.975, effective - 1)))
    low, high = np.quantile(scores, [tail, 1 - tail])
    return Interval(low, high)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, people=st.integers(4, 12), count=st.integers(1, 3))
def test_loops_over_people_trials_and_queries_give_the_same(seed: int, people: int, count: int) -> None:
    trials = random_trials(np.random.default_rng(seed), people=people, trials=count)
    found = intervals(trials, replicates=40)
    assert found is not None
    for rate, own in ((None, found.metrics), *found.by_rate.items()):
        expected = by_hand(trials, "mAP", rate, 40)
        assert (own["mAP"].low, own["mAP"].high) == pytest.approx((expected.low, expected.high), rel=1e-5)


@given(seed=seeds)
def test_the_order_of_trials_and_queries_decides_no_bit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    trials = random_trials(rng, people=9, trials=3)
    mixed = [shuffled(trials[place], rng) for place in rng.permutation(3)]
    assert intervals(trials, replicates=30) == intervals(mixed, replicates=30)


def test_ten_draws_over_the_same_people_are_no_ten_samples() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2, 60)
    once = trial(np.arange(60), values)
    ten = [attrs.evolve(once, index=index) for index in range(10)]
    assert intervals(ten) == intervals([once])


def test_queries_of_a_person_are_drawn_together() -> None:
    """Thirty people with one query each, or with ten that all end alike, tell the same."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2, 30)
    once, often = trial(np.arange(30), values), trial(np.repeat(np.arange(30), 10), np.repeat(values, 10))
    assert intervals([once]) == intervals([often])


def test_a_single_person_tells_nothing_of_others() -> None:
    assert intervals([trial([7, 7, 7], [0, 1, 1])]) is None
    found = intervals([trial([7, 7, 8], [0, 1, 1], rates="223")])
    assert found is not None
    assert "R1" in found.metrics
    assert found.by_rate == {}


def test_a_rate_whose_queries_have_no_match_has_no_interval_as_it_has_no_score() -> None:
    found = intervals([trial([1, 2, 3, 4], [0, 1, 0, 0], rates="2233", matched=[True, True, False, False])])
    assert found is not None
    assert list(found.by_rate) == ["2"]


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_where_all_end_alike_the_interval_ends_where_that_is_improbable(value: float) -> None:
    """All of n people at 100 % have a probability of m ** n where the score is m; 2.5 % at the end of the interval.

    With one query each that is the exact interval of a binomial share.
    """
    found = intervals([trial(np.arange(40), [value] * 40)])
    assert found is not None
    own = found.metrics["R1"]
    far = own.high if value == 0 else 1 - own.low
    assert (1 - far) ** 40 == pytest.approx(0.025, rel=1e-4)
    assert value in (own.low, own.high)
    exact = stats.binomtest(round(40 * value), 40).proportion_ci(0.95, "exact")
    assert (own.low, own.high) == pytest.approx((exact.low, exact.high), rel=1e-5)


def test_a_number_that_is_no_fraction_has_no_end_at_one() -> None:
    found = intervals([trial(np.arange(4), {"mean-place": [1, 1, 1, 1]})], numbers={"mean-place"})
    assert found is not None
    assert found.metrics["mean-place"] == Interval(1, 1)


def test_a_score_that_not_every_trial_has_is_left_out() -> None:
    rng = np.random.default_rng(0)
    one, other = random_trials(rng, people=6, trials=2)
    short = attrs.evolve(other, values={"R1": other.values["R1"]})
    found = intervals([one, short], replicates=10)
    assert found is not None
    assert list(found.metrics) == ["R1"]


def test_people_that_no_trial_of_a_replicate_has_leave_it_out() -> None:
    """Two people at rate 4 of twenty: a replicate without both says nothing of the rate."""
    rates = ["4", "4"] + ["2"] * 18
    found = intervals([trial(np.arange(20), [0, 1] + [1] * 18, rates=rates)])
    assert found is not None
    assert found.by_rate["4"]["R1"] == Interval(0, 1)


def test_unequal_people_count_by_their_effective_number() -> None:
    """Of many queries of one person and few of others, the others' number says little."""
    assert expanded_tail(3.0, 0.95) < expanded_tail(30.0, 0.95) < 0.025


def test_draws_are_those_of_a_multinomial() -> None:
    """A person's count in a replicate is binomial(n, 1 / n): chi-squared over all counts, once, at a fixed seed."""
    people, replicates = 50, 2000
    counts = np.concatenate(list(drawn_weights(np.arange(people), 3, replicates))).ravel()
    found = np.array([*(np.count_nonzero(counts == k) for k in range(5)), np.count_nonzero(counts >= 5)])
    chances = stats.binom.pmf(range(5), people, 1 / people)
    expected = np.array([*chances, 1 - chances.sum()]) * counts.size
    assert stats.chisquare(found, expected).pvalue > 1e-3


def test_draws_stay_what_they_are() -> None:
    """Stored intervals are recomputed by whoever has the outcomes: these draws must never change."""
    (block,) = drawn_weights(np.array([1, 2, 5, 9]), 0, 3)
    assert block.tolist() == DRAWN
    (other,) = drawn_weights(np.array([1, 2, 5, 9]), 1, 3)
    assert other.tolist() != DRAWN
