"""The queries that count: their means are the scores of a result, whatever queries without a match count for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from evaluation.strategies import cases
from hypothesis import given, settings
from kept import keep

from crbench import evaluate
from crbench.errors import DataError
from crbench.results import Interval, load_results, to_json
from crbench.results.folder import validate_file
from crbench.results.outcomes import scores_of
from crbench.statistics import TrialQueries, check_intervals, intervals, read_joined, read_queries, recomputable
from crbench.statistics.identities import IdentitySums, identities


@settings(max_examples=60)
@given(case=cases(ap_gallery="all"))
def test_means_over_people_are_the_scores_of_all_queries_and_of_each_rate(case: Any) -> None:
    found = evaluate(case.query, case.gallery, case.protocol)
    trial = TrialQueries.of(0, case.query.rows, found.per_query)
    stated = scores_of(found)
    pids = identities([trial])
    for rate, part in (("", found.scores), *((f"{r:g}", one) for r, one in found.by_rate.items())):
        if rate and rate not in stated["by_rate"]:
            assert not len(trial.at_rate(rate).keys)
            continue
        own = trial.at_rate(rate) if rate else trial
        sums = IdentitySums.of([own], ["R1", "R20", "mAP"], pids)
        expected = [part.rank(1), part.rank(20), part["mAP"]]
        assert sums.scores(np.ones((1, len(pids))))[0] == pytest.approx(expected)
        assert sums.contributions.sum(axis=0) == pytest.approx(expected)
    known = intervals([trial], replicates=5)
    assert known is None or known.by_rate.keys() <= stated["by_rate"].keys()


def test_queries_are_read_from_what_lies_beside_a_result(tmp_path: Path) -> None:
    (result,) = load_results([keep(tmp_path, trials=(0, 1), noise=0.5, metrics=["nDCG"])])
    trials = read_queries(result)
    assert [trial.index for trial in trials] == [0, 1]
    for trial, stated in zip(trials, result.trials, strict=True):
        assert trial.values["mAP"].mean() == pytest.approx(stated.scores["mAP"])
        assert len(trial.keys) == stated.n_valid
    assert intervals(trials) == result.intervals
    few = read_queries(result, {"nDCG"})[0].values
    assert few.keys() == {"R1", "R5", "R10", "R20", "nDCG"}


def test_a_result_that_was_not_read_has_no_place_beside_which_outcomes_lie(tmp_path: Path) -> None:
    (result,) = load_results([keep(tmp_path)])
    with pytest.raises(DataError, match="was not read from a file"):
        read_queries(attrs.evolve(result))


def test_a_trial_of_several_results_is_read_once(tmp_path: Path) -> None:
    results = load_results([keep(tmp_path / "a", trials=(0, 1)), keep(tmp_path / "b", trials=(1, 2))])
    assert [trial.index for trial in read_joined(results)] == [0, 1, 2]


def test_scores_of_code_that_is_not_here_are_not_recomputable(tmp_path: Path) -> None:
    (result,) = load_results([keep(tmp_path)])
    facts = dict(result.metric_facts)
    assert recomputable([result]) == {"mAP", "mINP"}
    other = attrs.evolve(result, metric_facts=facts | {"mINP": attrs.evolve(facts["mINP"], code_sha256="7" * 64)})
    assert recomputable([result, other]) == {"mAP"}


@pytest.mark.parametrize(
    "change",
    [
        lambda own: attrs.evolve(own, metrics={**own.metrics, "R1": Interval(own.metrics["R1"].low, 1.0)}),
        lambda own: attrs.evolve(own, by_rate={}),
        lambda own: attrs.evolve(own, identities=own.identities + 1),
        lambda own: attrs.evolve(own, seed=1),
        lambda own: attrs.evolve(own, method="a better one"),
    ],
    ids=["end", "rates", "people", "seed", "method"],
)
def test_intervals_that_do_not_follow_from_the_outcomes_are_named(tmp_path: Path, change: Any) -> None:
    path = keep(tmp_path, trials=(0, 1), noise=1.0)
    (result,) = load_results([path])
    check_intervals(result)
    path.write_text(to_json(attrs.evolve(result, intervals=change(result.intervals))), encoding="utf-8")
    with pytest.raises(DataError, match=r"its intervals do not follow|intervals by an unknown method \(a better one\)"):
        validate_file(path, check_intervals)
