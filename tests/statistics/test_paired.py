"""Differences between rows: against plain loops and scipy, exact permutations, Holm's correction, places."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from people import random_trials, shuffled, trial
from scipy import stats

from crbench.errors import ComparisonError, DataError
from crbench.statistics import Differences, TrialQueries, aligned, averaged, differences
from crbench.statistics.draws import drawn_signs, drawn_weights
from crbench.statistics.paired import holm, power, resolvable

seeds = st.integers(0, 2**32 - 1)

SIGNS = [[-1, -1, -1, 1, -1, 1, 1], [-1, 1, -1, -1, -1, -1, -1], [-1, -1, -1, 1, 1, -1, 1]]
"""Of people 0 to 6 in the first permutations of seed 0; p-values of others are recomputed with them."""


def other_values(trials: list[TrialQueries], rng: np.random.Generator) -> list[TrialQueries]:
    """The same queries as another method answers them."""
    return [
        attrs.evolve(one, values={name: rng.permutation(column) for name, column in one.values.items()})
        for one in trials
    ]


def fifty_people() -> tuple[list[TrialQueries], list[TrialQueries]]:
    """300 queries of 50 people in each of two trials; the first method is 6 points better."""
    rng = np.random.default_rng(6)
    pids = np.repeat(np.arange(50), 6)
    first, second = [], []
    for index in range(2):
        worse = rng.permutation(np.arange(300) < 180).astype(float)
        better = worse.copy()
        better[rng.choice(np.flatnonzero(worse == 0), 33, replace=False)] = 1
        better[rng.choice(np.flatnonzero(worse == 1), 15, replace=False)] = 0
        first.append(trial(pids, better, index=index))
        second.append(trial(pids, worse, index=index))
    return first, second


def test_loops_by_hand_agree_on_six_points_over_fifty_people() -> None:
    """A clustered bootstrap and a permutation test of plain loops, on the same draws."""
    first, second = fifty_people()
    found = differences([first, second], "R1", replicates=200, permutations=500)

    def difference(drawn: list[int], signs: list[float]) -> float:
        means = []
        for one, other in zip(first, second, strict=True):
            added, count = 0.0, 0
            for pid, mine, theirs in zip(one.pids, one.values["R1"], other.values["R1"], strict=True):
                for _ in range(drawn[pid]):
                    added += signs[pid] * (mine - theirs)
                    count += 1
            means.append(added / count)
        return sum(means) / len(means)

    once, same = [1] * 50, [1.0] * 50
    assert difference(once, same) == pytest.approx(0.06)
    assert found.difference[0, 1] == pytest.approx(0.06)
    weights = np.concatenate(list(drawn_weights(np.arange(50), 0, 200))).astype(int).tolist()
    tail = stats.norm.cdf(-np.sqrt(50 / 49) * stats.t.ppf(0.975, 49))
    ends = np.quantile([difference(drawn, same) for drawn in weights], [tail, 1 - tail])
    assert (found.low[0, 1], found.high[0, 1]) == pytest.approx(tuple(ends))
    signs = np.concatenate(list(drawn_signs(np.arange(50), 0, 500))).tolist()
    reached = sum(abs(difference(once, own)) >= 0.06 - 1e-9 for own in signs)
    assert found.p[0, 1] == (reached + 1) / 501


@settings(max_examples=20)
@given(seed=seeds, people=st.integers(3, 8))
def test_all_permutations_of_few_people_give_the_p_value_of_scipy(seed: int, people: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = trial(np.arange(people), rng.random(people)), trial(np.arange(people), rng.random(people))
    found = differences([[one], [other]], "R1", replicates=2)
    expected = stats.permutation_test(
        (one.values["R1"], other.values["R1"]),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
    )
    assert found.p[0, 1] == pytest.approx(expected.pvalue)


@settings(max_examples=20)
@given(seed=seeds, people=st.integers(3, 9))
def test_exchanging_the_rows_of_people_one_by_one_gives_the_same_p_value(seed: int, people: int) -> None:
    """With several queries of each person in several trials, and people that a trial does not have."""
    rng = np.random.default_rng(seed)
    trials = random_trials(rng, people=people, trials=2)
    others = other_values(trials, rng)
    found = differences([trials, others], "mAP", replicates=2)
    pids = sorted({pid for one in trials for pid in one.pids.tolist()})
    reached, observed = 0, abs(found.difference[0, 1])
    for number in range(2 ** len(pids)):
        swapped = [pid for place, pid in enumerate(pids) if number >> place & 1]
        means = []
        for mine, theirs in zip(trials, others, strict=True):
            swap = np.isin(mine.pids, swapped)
            a, b = mine.values["mAP"], theirs.values["mAP"]
            means.append(np.where(swap, b, a).mean() - np.where(swap, a, b).mean())
        reached += abs(np.mean(means)) >= observed - 1e-9
    assert found.p[0, 1] == pytest.approx(reached / 2 ** len(pids))


def test_rows_of_a_table_are_compared_as_two_alone_are() -> None:
    rng = np.random.default_rng(0)
    rows = [random_trials(rng, people=20, trials=2)]
    rows += [other_values(rows[0], rng) for _ in range(3)]
    options = {"replicates": 50, "permutations": 200}
    table, pair = differences(rows, "mAP", **options), differences([rows[1], rows[3]], "mAP", **options)
    for name in ("low", "high", "p", "deviation", "difference"):
        whole, part = getattr(table, name), getattr(pair, name)
        assert whole[1, 3] == pytest.approx(part[0, 1])
        assert whole[3, 1] == pytest.approx(part[1, 0])


@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_step_by_step(p: list[float]) -> None:
    """The definition: go through the p-values from the smallest, and stop at the first above level / (those left)."""
    corrected = holm(np.array(p))
    for level in (0.01, 0.05, 0.3):
        rejected = set()
        for step, place in enumerate(np.argsort(p, kind="stable").tolist()):
            if p[place] * (len(p) - step) > level:
                break
            rejected.add(place)
        assert {place for place, value in enumerate(corrected.tolist()) if value <= level} == rejected


def table(scores: list[float], p: list[list[float]]) -> Differences:
    """Rows with these scores and p-values; the rest says nothing."""
    rows = len(scores)
    nothing = np.full((rows, rows), 0.01)
    return Differences(
        scores=np.array(scores),
        low=nothing,
        high=nothing,
        deviation=nothing,
        p=np.array(p),
        level=0.95,
        identities=9,
        effective=9,
        permutations=99,
    )


def test_places_follow_from_the_pairs_that_are_told_apart() -> None:
    """The first and second are not told apart, both are from the third; Holm triples the smallest p-value of three."""
    found = table([0.7, 0.6, 0.2], [[1, 0.2, 0.001], [0.2, 1, 0.02], [0.001, 0.02, 1]])
    assert found.holm[0] == pytest.approx([1, 0.2, 0.003])
    assert found.holm[1, 2] == pytest.approx(0.04)
    assert found.rank_intervals() == [(1, 2), (1, 2), (3, 3)]
    assert found.rank_intervals(lower_is_better=True) == [(2, 3), (2, 3), (1, 1)]


def test_a_single_row_has_the_first_place_and_nothing_to_resolve() -> None:
    one = [trial([1, 2, 3], [0, 1, 1])]
    found = differences([one], "R1", replicates=10)
    assert found.rank_intervals() == [(1, 1)]
    assert found.resolution is None


def test_equal_rows_are_not_told_apart() -> None:
    one = [trial(np.arange(30), np.arange(30) % 2)]
    found = differences([one, one], "R1", replicates=10)
    assert (found.p == 1).all()
    assert found.low[0, 1] == found.high[0, 1] == 0
    assert found.resolution is None


def test_pairs_that_never_differ_do_not_count_in_what_is_resolved() -> None:
    one, other = [trial(np.arange(30), np.arange(30) % 2)], [trial(np.arange(30), np.arange(30) % 3 == 0)]
    expected = differences([one, other], "R1", replicates=10).resolution
    assert expected is not None
    assert expected > 0
    assert differences([one, one, one, other], "R1", replicates=10).resolution == expected


def test_what_is_resolved_is_found_with_a_probability_of_80_per_cent() -> None:
    for people in (5, 20, 750):
        assert power(resolvable(0.7, people), 0.7, people) == pytest.approx(0.8, abs=0.01)


def test_signs_are_fair_and_stay_what_they_are() -> None:
    blocks = list(drawn_signs(np.arange(7), 0, 10_000))
    signs = np.concatenate(blocks)
    assert signs.shape == (10_000, 7)
    assert set(signs.ravel()) == {-1, 1}
    assert stats.binomtest(int((signs > 0).sum()), signs.size).pvalue > 1e-3
    assert signs[:3].tolist() == SIGNS


@given(seed=seeds)
def test_rows_are_aligned_in_whatever_order_queries_and_trials_come(seed: int) -> None:
    rng = np.random.default_rng(seed)
    trials = random_trials(rng, people=6, trials=3)
    mixed = [shuffled(trials[place], rng) for place in rng.permutation(3)]
    for one, other in zip(*aligned([trials, mixed]), strict=True):
        assert one.index == other.index
        for name in ("keys", "pids", "rates"):
            assert getattr(one, name).tolist() == getattr(other, name).tolist()
        assert one.values["mAP"].tolist() == other.values["mAP"].tolist()


def test_only_the_queries_that_all_rows_have_are_compared() -> None:
    one = trial([1, 2, 3, 4], [0, 1, 0, 1])
    other = one.take(np.array([False, True, True, True]))
    extra = attrs.evolve(one, index=1)
    (mine,), (theirs,) = aligned([[one, extra], [other]])
    assert mine.keys.tolist() == theirs.keys.tolist() == ["0001", "0002", "0003"]
    assert mine.values["R1"].tolist() == [1, 0, 1]


def test_names_and_hashes_of_the_same_images_are_paired() -> None:
    one = trial([1, 2, 3], [0, 1, 0])
    (mine,), (theirs,) = aligned([[one], [one.hashed()]])
    assert mine.keys.tolist() == theirs.keys.tolist()
    assert len(mine.pids) == 3


def test_rows_that_share_nothing_are_refused() -> None:
    one = trial([1, 2], [0, 1])
    with pytest.raises(ComparisonError, match="share no trial"):
        aligned([[one], [attrs.evolve(one, index=1)]])
    with pytest.raises(ComparisonError, match="share no query"):
        aligned([[one], [attrs.evolve(one, keys=np.array(["a", "b"]))]])
    with pytest.raises(ComparisonError, match="query 0001 has person 2 in one and 3 in the other"):
        aligned([[one], [attrs.evolve(one, pids=np.array([1, 3]))]])
    with pytest.raises(ComparisonError, match="query 0000 has camera 0 in one and 4 in the other"):
        aligned([[one], [attrs.evolve(one, camids=np.array([4, 0]))]])
    with pytest.raises(DataError, match="query 0000 at rate 2 occurs twice"):
        aligned([[one], [attrs.evolve(one, keys=np.array(["0000", "0000"]))]])


def test_trainings_are_averaged_over_the_queries_and_scores_that_all_have() -> None:
    one = trial([1, 2, 3], {"R1": [0, 1, 0], "mAP": [0.1, 0.2, 0.3]})
    other = trial([1, 2, 3], {"R1": [1, 1, 0]}).take(np.array([2, 1]))
    (mean,) = averaged([[one], [other]])
    assert mean.keys.tolist() == ["0001", "0002"]
    assert {name: column.tolist() for name, column in mean.values.items()} == {"R1": [1, 0]}
    assert averaged([[one]]) == [one]


def test_thousands_of_people_have_more_permutations_than_a_float_can_count() -> None:
    rng = np.random.default_rng(0)
    rows = [[trial(np.arange(2000), rng.random(2000))] for _ in range(2)]
    assert differences(rows, "R1", replicates=10, permutations=99).permutations == 99
