"""One row from several trainings of one method."""

from __future__ import annotations

import csv
import io
import re
import statistics
from collections.abc import Callable

import attrs
import pytest

from crbench.leaderboard.board import Board, Row
from crbench.leaderboard.build import build
from crbench.report import render
from crbench.results import Method, Result, WeightsFacts, summarise

Make = Callable[..., Result]


def _trained(result: Result, digit: str, *, trained: bool = True) -> Result:
    """`result` with weights of its own."""
    backbone = attrs.evolve(result.method.backbone, trained=trained)
    trials = tuple(attrs.evolve(trial, weights_sha256=digit * 64) for trial in result.trials)
    return attrs.evolve(result, method=Method(backbone, result.method.aligner), trials=trials)


@pytest.fixture
def trainings(make: Make) -> list[Result]:
    """Three trainings, each without and with ridge."""
    scores = {1: ((0.3, 0.32), (0.5, 0.54)), 2: ((0.4, 0.42), (0.55, 0.57)), 3: ((0.2, 0.28), (0.4, 0.4))}
    return [
        _trained(make(aligner, values, cell=10 * seed + place, seed=seed), str(seed))
        for seed, both in scores.items()
        for place, (aligner, values) in enumerate(zip(("none", "ridge"), both, strict=True))
    ]


def _rows(board: Board) -> list[Row]:
    return [row for block in board.blocks for row in block.rows]


def test_trainings_are_one_row_with_their_mean_and_two_spreads(trainings: list[Result]) -> None:
    ridge, none = _rows(build(trainings))
    means = [0.52, 0.56, 0.4]
    assert [len(row.trainings) for row in (ridge, none)] == [3, 3]
    score = ridge.scores["R1"]
    assert score.mean == pytest.approx(statistics.fmean(means))
    assert score.between == pytest.approx(statistics.stdev(means))
    assert score.std == pytest.approx(statistics.stdev([(0.5 + 0.55 + 0.4) / 3, (0.54 + 0.57 + 0.4) / 3]))
    assert score.low is None, "the interval of one training is none of three"
    at_rate = ridge.scores["R1@2"]
    assert (at_rate.mean, at_rate.between) == (pytest.approx(score.mean + 0.1), pytest.approx(score.between))


def test_gain_is_over_the_baseline_of_each_training(trainings: list[Result]) -> None:
    ridge, none = _rows(build(trainings))
    gains = [0.21, 0.15, 0.16]
    assert ridge.gain is not None
    assert ridge.gain.mean == pytest.approx(statistics.fmean(gains))
    assert ridge.gain.between == pytest.approx(statistics.stdev(gains))
    assert none.gain is None
    without_one = [result for result in trainings if result.cell_id != f"{20:012x}"]
    ridge, none = _rows(build(without_one))
    assert (len(ridge.trainings), len(none.trainings), ridge.gain) == (3, 2, None)


def test_expanded_each_training_is_a_row(trainings: list[Result]) -> None:
    rows = _rows(build(trainings, expand=True))
    assert [len(row.trainings) for row in rows] == [1] * 6
    assert len({(row.backbone, row.aligner) for row in rows}) == 6


def test_ranks_beyond_those_of_results_are_means_too(trainings: list[Result]) -> None:
    ridge, _ = _rows(build(trainings, ranks=(3,)))
    assert ridge.scores["R3"].mean == pytest.approx(
        statistics.fmean(trial.cmc[2] for result in trainings[1::2] for trial in result.trials)
    )


def test_the_table_tells_how_often_a_row_was_trained(trainings: list[Result], make: Make) -> None:
    text = render(trainings)
    assert re.search(r"resnet-tiny  +ridge .* 3 ± 8\.3 ", text)
    assert "±: standard deviation of R1 between trainings" in text
    assert "trainings" not in render(trainings, expand=True)
    assert "trainings" not in render([make("ridge", (0.5,))])
    lines = list(csv.DictReader(io.StringIO(render(trainings, format="csv"))))
    assert [line["trainings"] for line in lines] == ["3", "3"]
    assert float(lines[0]["R1_between"]) == pytest.approx(statistics.stdev([0.52, 0.56, 0.4]))
    assert lines[0]["cell_id"].count(";") == 2


def other_parameter(result: Result) -> Result:
    aligner = attrs.evolve(result.method.aligner, parameters={"alpha": 3})
    return attrs.evolve(result, method=attrs.evolve(result.method, aligner=aligner))


def other_code(result: Result) -> Result:
    backbone = attrs.evolve(result.method.backbone, code_sha256="9" * 64)
    return attrs.evolve(result, method=attrs.evolve(result.method, backbone=backbone))


def unknown_code(result: Result) -> Result:
    backbone = attrs.evolve(result.method.backbone, code_sha256=None)
    return attrs.evolve(result, method=attrs.evolve(result.method, backbone=backbone))


def fitted_from_a_file(result: Result) -> Result:
    return attrs.evolve(result, weights=(WeightsFacts(sha256="c" * 64, origin="fitted", known=True),))


def given_weights(result: Result) -> Result:
    return _trained(result, "2", trained=False)


@pytest.mark.parametrize(
    "change",
    [other_parameter, other_code, unknown_code, fitted_from_a_file, given_weights],
    ids=lambda f: f.__name__,
)
def test_what_differs_in_more_than_seed_and_weights_is_no_other_training(
    trainings: list[Result], change: Callable[[Result], Result]
) -> None:
    first, second = trainings[1], trainings[3]
    assert len(_rows(build([first, second]))) == 1
    assert len(_rows(build([first, change(second)]))) == 2


def test_given_weights_are_one_training_where_they_are_the_same(make: Make) -> None:
    """Nothing tells by which recipe a file of weights was made; fits with other seeds on the same file are alike."""
    seeds = [_trained(make("vpfa", (0.5 + seed / 100,), cell=seed, seed=seed), "a", trained=False) for seed in (1, 2)]
    other = _trained(make("vpfa", (0.6,), cell=3, seed=3), "b", trained=False)
    assert sorted(len(row.trainings) for row in _rows(build([*seeds, other]))) == [1, 2]


def test_trainings_over_other_trials_are_no_samples_of_one_row(trainings: list[Result], part_of: Make) -> None:
    board = build([trainings[1], part_of(trainings[3], 0, cell=99)])
    assert [len(row.trainings) for row in _rows(board)] == [1, 1]
    assert len(board.blocks) == 2


def test_a_training_whose_results_disagree_stands_apart(trainings: list[Result]) -> None:
    first = trainings[1].read_from("a.json")
    changed = attrs.evolve(first.trials[0], cmc=tuple(min(1.0, rank + 0.1) for rank in first.trials[0].cmc))
    trials = (changed, *first.trials[1:])
    second = attrs.evolve(first, trials=trials, metrics=summarise(trials)).read_from("b.json")
    rows = _rows(build([first, second, trainings[3], trainings[5]]))
    assert sorted((row.joined.disputed, len(row.trainings)) for row in rows) == [(False, 2), (True, 1), (True, 1)]
