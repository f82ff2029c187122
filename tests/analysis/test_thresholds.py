"""Thresholds and open sets against plain loops, and where the truth is known."""

from __future__ import annotations

import json

import attrs
import numpy as np
import pytest
import torch
from evaluation.strategies import cases
from hypothesis import given
from hypothesis import strategies as st

from crbench import EvalProtocol
from crbench.analysis import distances as rooms
from crbench.analysis.distances import RatePairs, pairs_by_rate
from crbench.analysis.offsets import Estimate
from crbench.analysis.open_set import DRAWS, PersonDistances, identified, person_distances
from crbench.analysis.people import halves
from crbench.analysis.subject import Subject
from crbench.analysis.tables import FORMATS
from crbench.analysis.thresholds import ThresholdsReport, _method, _spread
from crbench.analysis.verification import SPARE, _damping, accepted, at_threshold
from crbench.evaluation.pairs import pair_blocks
from crbench.evaluation.verification import verification
from crbench.records import Features
from crbench.testing import random_features

MULTI = EvalProtocol.of(shot="multi", same_camera="keep")


@attrs.frozen(eq=False)
class Ranked:
    """What thresholds need of a ranked trial."""

    compared: list
    protocol: EvalProtocol = MULTI


def ranked(*, people: int = 12, noise: float = 2.0, dim: int = 8) -> Ranked:
    query = random_features(persons=people, images=3, dim=dim, rates=(2, 3))
    gallery = random_features(persons=people, images=4, dim=dim, rates=(1,))
    return Ranked([(moved(query, noise, seed=0), gallery)])


def moved(query: Features, noise: float, *, seed: int) -> Features:
    """The features with noise that grows with the rate."""
    draw = np.random.default_rng(seed).normal(size=query.x.shape) * query.rows.rates[:, None] / 2
    return attrs.evolve(query, x=query.x + torch.from_numpy((noise * draw).astype(np.float32)))


@given(cases(shots=("multi",), distance="cosine"), st.sampled_from([0.0, 0.01, 0.1, 0.3]))
def test_tpr_is_that_of_the_verification_scores(case, fpr):
    pairs = pairs_by_rate(Ranked([(case.query, case.gallery)], case.protocol), kept=min(1.0, SPARE * fpr))
    together = RatePairs.joined(list(pairs.values()), min(1.0, SPARE * fpr))
    if together.false_total == 0 or _near_ties(together):
        return  # equal distances differ in their last digits here
    expected = verification(case.query, case.gallery, case.protocol, [fpr])[fpr]
    assert accepted(together, fpr).tpr.value == pytest.approx(expected)


def _near_ties(pairs: RatePairs) -> bool:
    found = np.sort(np.concatenate([pairs.true, pairs.false]))
    return bool((np.diff(found) < 1e-9).any())


def test_rates_have_their_own_pairs_and_all_have_those_of_each():
    trial = ranked()
    pairs = pairs_by_rate(trial, kept=1.0)
    ((query, gallery),) = trial.compared
    (block,) = pair_blocks(query, gallery, trial.protocol)
    for rate, own in pairs.items():
        rows = query.rows.rates == rate
        counted = (block.same & block.valid)[rows]
        assert np.sort(own.true) == pytest.approx(np.sort(block.distances[rows][counted]))
        assert own.false == pytest.approx(np.sort(block.distances[rows][~block.same[rows]]))
        assert own.counts.sum() == own.false_total == len(own.false)
        whose = query.rows.pids[rows]
        assert own.people[own.true_people].tolist() == np.repeat(whose, 3).tolist()  # one of four is the query itself
    together = RatePairs.joined(list(pairs.values()), 1.0)
    assert len(together.false) == sum(len(own.false) for own in pairs.values())
    assert np.bincount(together.false_people).tolist() == together.false_counts.sum(axis=1).tolist()
    assert np.bincount(together.false_others).tolist() == together.false_counts.sum(axis=0)[:-1].tolist()


def test_only_the_nearest_false_pairs_are_kept_whatever_the_blocks(monkeypatch):
    whole = pairs_by_rate(ranked(), kept=1.0)
    monkeypatch.setattr("crbench.evaluation.pairs._ELEMENTS", 100)
    for rate, own in pairs_by_rate(ranked(), kept=0.1).items():
        assert len(own.false) < 0.2 * len(whole[rate].false)
        assert own.false == pytest.approx(whole[rate].false[: len(own.false)])
        assert (own.counts == whole[rate].counts).all()


def test_a_threshold_accepts_what_it_says_and_has_an_interval():
    pairs = pairs_by_rate(ranked(people=40), kept=0.3)
    for fpr in (0.01, 0.1):
        found = accepted(pairs[2.0], fpr)
        assert found.fpr <= fpr < found.fpr + 2 / found.false
        assert found.threshold.low < found.threshold.value < found.threshold.high
        assert found.tpr.low < found.tpr.value < found.tpr.high
        assert at_threshold(pairs[2.0], found.threshold.value) == (found.tpr.value, found.fpr)
    assert np.isnan(accepted(pairs[2.0], 0.0).threshold.low)


def test_intervals_hold_what_other_people_give():
    """Thresholds of other people of the same kind lie in the interval of some."""
    found = accepted(pairs_by_rate(ranked(people=60), kept=0.3)[2.0], 0.1)
    other = random_features(persons=60, images=3, dim=8, rates=(2,), seed=5)
    gallery = random_features(persons=60, images=4, dim=8, rates=(1,), seed=5)
    again = accepted(pairs_by_rate(Ranked([(moved(other, 2, seed=1), gallery)]), kept=0.3)[2.0], 0.1)
    assert found.threshold.low - 0.03 < again.threshold.value < found.threshold.high + 0.03


def test_beyond_the_pairs_that_are_kept_the_histogram_counts():
    few, whole = (pairs_by_rate(ranked(), kept=kept)[2.0] for kept in (0.01, 1.0))
    for threshold in (0.5, 1.0, 1.9):
        assert at_threshold(few, threshold)[1] == pytest.approx(at_threshold(whole, threshold)[1], abs=0.01)
    assert len(few.counts) == rooms.BINS


def test_euclidean_distances_have_bins_too():
    trial = attrs.evolve(ranked(), protocol=EvalProtocol.of(shot="multi", distance="euclidean", normalise="none"))
    pairs = pairs_by_rate(trial, kept=1.0)[2.0]
    assert pairs.edges[-1] > pairs.false[-1]
    assert pairs.counts.sum() == len(pairs.false)


def by_loops(distances: PersonDistances, far: float, seed: int) -> float:
    """Detection and identification rate, query by query."""
    people = np.unique(distances.pids)
    rates = []
    for number in range(DRAWS):
        enrolled = {*people[halves(people, seed + number)].tolist()}
        columns = [i for i, pid in enumerate(distances.columns) if pid in enrolled or pid not in people]
        answers = []
        for pid, row in zip(distances.pids, distances.nearest, strict=True):
            best = min(columns, key=lambda i: row[i])
            answers.append((pid in enrolled, distances.columns[best] == pid, row[best]))
        alarms = sorted(near for known, _, near in answers if not known)
        threshold = alarms[int(far * len(alarms) + 1e-9)]
        rates.append(np.mean([right and near < threshold for known, right, near in answers if known]))
    return float(np.mean(rates))


@pytest.mark.parametrize("far", [0.05, 0.1, 0.4])
def test_open_sets_are_those_of_plain_loops(far):
    distances = person_distances(ranked())
    found = identified(distances, far, seed=3)
    assert found.rate.value == pytest.approx(by_loops(distances, far, 3))
    assert found.rate.low < found.rate.value < found.rate.high
    assert found.rate.value <= found.unlimited
    assert found.known == found.unknown == 36


def test_the_nearest_image_of_each_person_counts_and_nothing_that_the_rules_leave_out():
    trial = attrs.evolve(ranked(), protocol=EvalProtocol.of(shot="multi", same_camera="ignore"))
    ((query, gallery),) = trial.compared
    (block,) = pair_blocks(query, gallery, trial.protocol)
    found = person_distances(trial)
    for row, column in ((0, 0), (5, 3), (40, 11)):
        own = (gallery.rows.pids == found.columns[column]) & block.valid[row]
        assert found.nearest[row, column] == pytest.approx(block.distances[row][own].min())


def test_people_who_are_far_from_all_others_are_told_from_strangers():
    people = 20
    nearest = np.where(np.eye(people, dtype=bool), 0.1, 0.9).repeat(2, axis=0)
    pids = np.arange(people).repeat(2)
    distances = PersonDistances(pids, np.full(40, 2, np.float32), np.arange(people), nearest)
    found = identified(distances, 0.1)
    assert found.rate == Estimate(1.0, 1.0, 1.0)
    assert found.threshold == pytest.approx(0.9)


def test_replicates_of_few_people_in_which_nobody_is_unknown_are_left_out():
    """Of four people one is drawn four times in one of 64 replicates; NumPy warned of a division by zero."""
    nearest = np.where(np.eye(4, dtype=bool), 0.1, 0.9).repeat(3, axis=0)
    distances = PersonDistances(np.arange(4).repeat(3), np.full(12, 2, np.float32), np.arange(4), nearest)
    assert identified(distances, 0.5).rate == Estimate(1.0, 1.0, 1.0)


def test_without_a_false_alarm_that_is_allowed_there_is_no_interval():
    found = identified(person_distances(ranked()), 0.01)
    assert np.isnan(found.rate.low)


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_shows_every_number(form):
    method = _method(ranked(), [0.01, 0.1], [0.1], 0)
    subject = Subject("data", "mlr", "0" * 12, 0, "backbone", None, 0, ("none",), None)
    text = ThresholdsReport(subject, "cosine", {"none": method}).render(form)
    if form == "json":
        content = json.loads(text)
        assert content["methods"]["none"]["verification"]["0.1"]["2"]["own"]["true"] == 36 * 3
        assert content["methods"]["none"]["open_set"]["0.1"]["all"]["rate"]["value"] <= 1
    else:
        assert "x3 0.01 none" in text
        assert "one distance for all rates at FPR 0.1" in text
        assert "half of the people unknown" in text


def test_a_rate_of_too_few_people_has_no_open_set():
    ((query, gallery),) = ranked().compared
    few = query.take(np.flatnonzero((query.rows.rates == 2) | (query.rows.pids < 3)))
    method = _method(Ranked([(few, gallery)]), [0.1], [0.4], 0)
    assert list(method.verification[0.1]) == [2, 3, "all"]
    assert list(method.open_set[0.4]) == [2, "all"]


def test_the_finding_names_rates_only_where_they_differ():
    assert _spread({2.0: 0.0116, 3.0: 0.01, 4.0: 0.0086}) == "x2 accepts 1.16 % of its false pairs, x4 0.86 %"
    assert _spread({2.0: 0.0, 3.0: 0.0}) == "each rate accepts 0 % of its false pairs"


def near_pairs(owners: np.ndarray, others: np.ndarray, people: int) -> RatePairs:
    """As many near false pairs as are given, of people of whom each pair is there 100 times."""
    counts = np.full((people, people + 1), 100)
    np.fill_diagonal(counts, 0)
    nothing, nobody = np.empty(0), np.empty(0, dtype=np.intp)
    false = np.linspace(0.1, 0.2, len(owners))
    return RatePairs(np.arange(people), nothing, nobody, false, owners, others, counts, nothing, nobody)


def test_weights_of_thresholds_go_as_far_as_people_differ():
    """Near pairs of anybody have variance D where drawn people give 3 D; those of a few people vary as these do."""
    draw, people, count = np.random.default_rng(0), 60, 3000
    owners = draw.integers(people, size=count)
    others = (owners + draw.integers(1, people, size=count)) % people
    alone = _damping(near_pairs(owners, others, people), count / (100 * people**2), count)
    assert alone == pytest.approx(np.sqrt(np.sqrt(2) - 1), abs=0.06)
    few = draw.integers(3, size=count)
    others = (few + draw.integers(1, people, size=count)) % people
    assert 0.9 < _damping(near_pairs(few, others, people), count / (100 * people**2), count) <= 1
