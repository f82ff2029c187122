"""Trials that were run apart: joined where everything agrees, named where it does not."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import pytest

from crbench import load_results
from crbench.leaderboard.board import Board, Row
from crbench.leaderboard.build import build
from crbench.report import FORMATS, render
from crbench.results import (
    Component,
    DataFacts,
    Extraction,
    Method,
    Result,
    Summary,
    TrialScores,
    WeightsFacts,
    from_json,
    to_json,
)

Make = Callable[..., Result]
Part = Callable[..., Result]


def _rows(board: Board) -> list[Row]:
    return [row for block in board.blocks for row in block.rows]


def _with(result: Result, index: int, **changes: object) -> Result:
    """`result` with changes of one trial that leave its scores as they are."""
    trials = tuple(attrs.evolve(trial, **changes) if trial.index == index else trial for trial in result.trials)
    return attrs.evolve(result, trials=trials)


@pytest.fixture
def whole(make: Make) -> Result:
    """Three trials of one method, run at once."""
    return make("ridge", (0.50, 0.53, 0.55), cell=9)


@pytest.fixture
def apart(whole: Result, part_of: Part) -> list[Result]:
    """The same trials, run apart."""
    return [part_of(whole, 0, cell=1), part_of(whole, 1, 2, cell=2)]


def test_trials_that_were_run_apart_are_the_row_of_one_run(make: Make, whole: Result, apart: list[Result]) -> None:
    none = make("none", (0.40, 0.42, 0.41), cell=8)
    (one, _), (several, _) = (_rows(build([none, *results])) for results in ([whole], apart))
    assert len(several.joined.results) == 2
    for name in ("aligner", "rank", "scores", "gain", "marks"):
        assert getattr(one, name) == getattr(several, name)
    texts = [render([none, *results], per_rate=True) for results in ([whole], apart)]
    assert texts[0] == texts[1]


def test_of_the_parts_all_origins_are_told(apart: list[Result]) -> None:
    apart = [attrs.evolve(result, command=f"crbench run {number}") for number, result in enumerate(apart)]
    (line,) = csv.DictReader(io.StringIO(render(apart, format="csv")))
    assert line["cell_id"] == "000000000001; 000000000002"
    assert line["command"] == "crbench run 0; crbench run 1"
    assert (line["trials"], line["trial_indices"]) == ("3", "0-2")


def test_the_order_of_files_does_not_matter(whole: Result, apart: list[Result], part_of: Part) -> None:
    results = [*apart, whole, _with(part_of(whole, 1, cell=4), 1, weights_sha256="c" * 64)]
    texts = {render(order, format="json") for order in itertools.permutations(results)}
    assert len(texts) == 1


def test_equal_trials_count_once(whole: Result, apart: list[Result], part_of: Part) -> None:
    for results in ([whole, whole], [whole, *apart], [*apart, part_of(whole, 0, 1, cell=5)]):
        board = build(results)
        (row,) = _rows(board)
        assert row.joined.trials == whole.trials
        assert row.rank == 1
        assert board.apart == ()
    assert build([whole, *apart]).repeated == 2


def test_a_score_that_only_one_result_has_is_no_conflict(make: Make, scored: Callable[..., Result]) -> None:
    plain = make("ridge", (0.5, 0.6), cell=1)
    (row,) = _rows(build([plain, scored(attrs.evolve(plain, cell_id="0" * 12), nDCG=0.7)]))
    assert row.scores["nDCG"].mean == 0.7
    assert row.rank == 1


@pytest.mark.parametrize("created", ["2026-11-20T03:00:00+00:00", "2099-01-01T00:00:00+00:00"])
def test_results_that_disagree_are_not_ranked_whatever_their_dates(
    make: Make, tmp_path: Path, created: str, whole: Result
) -> None:
    """Of two different results of one cell the newer date won, even 2099."""
    edited = make("ridge", (0.50, 0.93, 0.55), cell=9, created=created)
    for name, result in {"a.json": whole, "b.json": edited, "c.json": make("none", (0.1, 0.1, 0.1), cell=1)}.items():
        (tmp_path / name).write_text(to_json(result), encoding="utf-8")
    results = load_results([tmp_path])
    board = build(results)
    ranks = {row.result.origin: row.rank for row in _rows(board)}
    assert ranks == {str(tmp_path / "a.json"): None, str(tmp_path / "b.json"): None, str(tmp_path / "c.json"): 1}
    assert all(row.gain is None and not row.marks for row in _rows(board) if row.joined.disputed)
    (note,) = board.apart
    for text in ("conflict", "trial 1: R1 ", f"0.53 in {tmp_path / 'a.json'}", f"0.93 in {tmp_path / 'b.json'}"):
        assert text in note
    for form in FORMATS:
        text = render(results, format=form)
        assert "conflict" in text
        assert form == "csv" or "b.json" in text


def test_a_part_that_disagrees_with_one_is_not_joined_with_the_rest(whole: Result, make: Make, part_of: Part) -> None:
    other = part_of(make("ridge", (0.9, 0.53, 0.55), cell=9), 0, 1, cell=3)
    board = build([part_of(whole, 0, cell=1), other, part_of(whole, 2, cell=2)])
    assert [(row.joined.result.cell_id[-1], row.rank) for row in _rows(board)] == [("3", None), ("1", None), ("2", 1)]


@pytest.mark.parametrize("part", ["dataset", "distance"])
def test_trials_by_other_code_of_data_set_or_distance_are_not_joined(apart: list[Result], part: str) -> None:
    """A distance whose code changed between two runs gave one row, half of it by each."""
    codes = [{"dataset": "d" * 64, part: digit * 64} for digit in "12"]
    results = [attrs.evolve(result, code=code) for result, code in zip(apart, codes, strict=True)]
    assert [len(row.joined.results) for row in _rows(build(results))] == [1, 1]
    same = [attrs.evolve(result, code=codes[0]) for result in apart]
    assert [len(row.joined.results) for row in _rows(build(same))] == [2]
    whole = [attrs.evolve(same[0], code=code) for code in codes]
    assert [row.backbone.partition(" [")[2] for row in _rows(build(whole))] == [
        f"{part} code=11111111]",
        f"{part} code=22222222]",
    ]


def test_trials_by_unknown_code_of_a_distance_are_not_joined(apart: list[Result]) -> None:
    board = build([attrs.evolve(result, code={"distance": None}) for result in apart])
    assert [len(row.joined.results) for row in _rows(board)] == [1, 1]
    assert board.apart[0].startswith("not joined, as they do not tell the code of the method")


@pytest.mark.parametrize("training", ["e" * 12, None])
def test_unequal_weights_of_one_training_are_not_joined(
    whole: Result, apart: list[Result], training: str | None, named: Callable[..., Result]
) -> None:
    """Two machines trained the same recipe to other weights, or `--weights` named other files."""
    first = _with(apart[0], 0, training=training)
    second = _with(_with(apart[1], 1, training=training, weights_sha256="c" * 64), 2, training=training)
    second = _with(second, 2, weights_sha256="c" * 64)
    board = build([named(first, "here.json"), named(second, "there.json")])
    assert sorted(len(row.joined.trials) for row in _rows(board)) == [1, 2]
    assert len(board.blocks) == 2
    (note,) = board.apart
    assert note.startswith("not joined, as the same training (or --weights) has other weights in each")
    assert note.endswith("resnet-tiny + ridge: here.json, there.json")


def test_the_same_trials_by_other_weights_are_rows_of_their_own(whole: Result, make: Make) -> None:
    other = make("ridge", (0.3, 0.3, 0.3), cell=9)
    for index in range(3):
        other = _with(other, index, weights_sha256="c" * 64)
    board = build([whole, other], expand=True)
    assert [row.rank for row in _rows(board)] == [1, 2]
    assert {row.backbone for row in _rows(board)} == {
        "resnet-tiny [weights=abababab]",
        "resnet-tiny [weights=cccccccc]",
    }
    assert len(board.apart) == 1


def test_each_trial_may_have_weights_of_its_own_training(apart: list[Result]) -> None:
    other = _with(apart[0], 0, training="f" * 12, weights_sha256="c" * 64)
    (row,) = _rows(build([other, apart[1]]))
    assert [trial.weights_sha256[:2] for trial in row.joined.trials if trial.weights_sha256] == ["cc", "ab", "ab"]


def test_fitted_weights_of_one_path_are_told_apart_by_content(whole: Result) -> None:
    files = [(WeightsFacts(sha256=digit * 64, origin="fitted", known=True),) for digit in "ab"]
    rows = _rows(build([attrs.evolve(whole, weights=weights) for weights in files]))
    assert {row.aligner for row in rows} == {"ridge [files=aaaaaaaa]", "ridge [files=bbbbbbbb]"}
    assert all(row.rank == 1 for row in rows)


def test_where_there_are_two_ways_to_join_none_is_taken(whole: Result, part_of: Part) -> None:
    """Trial 1 could stand with either of two trainings that gave other weights."""
    first, rest = part_of(whole, 0, cell=1), _with(part_of(whole, 1, cell=2), 1, training="f" * 12)
    board = build([first, _with(first, 0, weights_sha256="c" * 64), rest], expand=True)
    assert sorted(len(row.joined.results) for row in _rows(board)) == [1, 1, 1]


def _method(result: Result, **changes: object) -> dict[str, Method]:
    return {"method": attrs.evolve(result.method, aligner=attrs.evolve(result.method.aligner, **changes))}


@pytest.mark.parametrize(
    "change",
    [
        lambda result: _method(result, code_sha256="7" * 64),
        lambda result: _method(result, parameters={"hidden": 3}),
        lambda result: _method(result, name="coral"),
        lambda result: _method(result, distribution="stranger"),
        lambda result: {"seed": 7},
        lambda result: {"weights": (WeightsFacts(sha256="c" * 64, origin="fitted", known=True),)},
        lambda result: {"extraction": Extraction(batch_size=8)},
        lambda result: {"environment": attrs.evolve(result.environment, device="NVIDIA H200")},
        lambda result: {"data": DataFacts(parameters={"boxes": "labeled"})},
        lambda result: {"data": DataFacts(deviations=("94 of 750 test persons",))},
    ],
)
def test_what_decides_a_number_keeps_trials_apart(
    apart: list[Result], change: Callable[[Result], dict[str, object]]
) -> None:
    first, second = apart
    assert len(_rows(build([first, second]))) == 1
    assert len(_rows(build([first, attrs.evolve(second, **change(second))]))) == 2


def test_the_version_of_a_method_whose_code_is_the_same_does_not_matter(apart: list[Result]) -> None:
    first, second = apart
    assert len(_rows(build([first, attrs.evolve(second, **_method(second, version="0.2.0"))]))) == 1


def test_methods_that_do_not_tell_their_code_are_not_joined(apart: list[Result], whole: Result) -> None:
    """Their trials may be of other code; the same trials with the same scores are the same result all the same."""
    unknown = [attrs.evolve(result, **_method(result, code_sha256=None)) for result in (*apart, whole)]
    board = build(unknown[:2])
    assert len(_rows(board)) == 2
    assert "they do not tell the code" in board.apart[0]
    assert len(_rows(build([unknown[2], unknown[2]]))) == 1


@pytest.mark.parametrize("change", [{"data": "f" * 12}, {"split": "f" * 64}])
def test_equal_trials_of_other_data_stand_in_other_tables(whole: Result, make: Make, change: dict[str, str]) -> None:
    other = _with(make("none", (0.9, 0.9, 0.9), cell=1), 1, **change)
    board = build([whole, other])
    assert [[row.rank for row in block.rows] for block in board.blocks] == [[1], [1]]
    assert len({block.data for block in board.blocks}) == 2
    text = render([whole, other])
    assert f"2 tables have the fingerprint {whole.fingerprint}: same rules, but other trials or other data" in text
    page = render([whole, other], format="html")
    assert len(set(re.findall(rf'<option value="(t-{whole.fingerprint}-.*?)">', page))) == 2


def test_trials_of_two_copies_of_a_data_set_are_not_joined(apart: list[Result], part_of: Part) -> None:
    """Where two trials have the same images they have all, so a digest that differs is of another copy."""
    first, second = apart
    other = _with(_with(second, 1, data="f" * 12), 2, data="f" * 12)
    board = build([first, other])
    assert [len(row.joined.trials) for row in _rows(board)] == [2, 1]
    assert "show that the data differ" in board.apart[0]
    drawn = [first, _with(part_of(second, 1, cell=3), 1, data="f" * 12)]
    assert len(_rows(build(drawn))) == 1, "each trial may have images of its own"


def test_only_equal_sets_of_trials_are_ranked_together(whole: Result, make: Make, part_of: Part) -> None:
    """Ten trials and the three best of them are not the same measurement."""
    none = make("none", (0.40, 0.42, 0.99), cell=1)
    board = build([whole, none, part_of(make("coral", (0.1, 0.1, 0.99)), 2, cell=3)])
    assert [(block.trials, len(block.rows)) for block in board.blocks] == [((0, 1, 2), 2), ((2,), 1)]


def test_an_evaluation_of_an_unknown_version_is_shown_unranked(whole: Result, newer: Callable[..., Result]) -> None:
    board = build([newer(whole)])
    assert (board.blocks, len(board.partial)) == ((), 1)
    assert board.partial[0].rows[0].rank is None
    assert "evaluation version 3, unknown to this crbench, not ranked" in render([newer(whole)])


def test_results_of_version_1_are_ranked_among_themselves(golden: Path, whole: Result) -> None:
    old = from_json((golden / "result-1.json").read_text(encoding="utf-8"), "old.json")
    method = attrs.evolve(old.method, aligner=Component(name="none", version="0.1.0"))
    board = build([old, attrs.evolve(old, cell_id="0" * 12, method=method), whole])
    assert sorted(len(block.rows) for block in board.blocks) == [1, 2]


def test_a_result_knows_its_file_and_a_file_cannot_lie_about_it(whole: Result, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(to_json(whole), encoding="utf-8")
    (result,) = load_results([tmp_path])
    assert (result, result.origin) == (whole, str(tmp_path / "a.json"))
    assert "origin" not in json.loads(to_json(result))
    assert attrs.evolve(result, seed=1).origin is None


def test_sizes_stand_in_every_table(whole: Result) -> None:
    whole = _with(_with(whole, 0, n_gallery=15913, n_persons=750), 1, n_gallery=15913, n_persons=750)
    whole = _with(whole, 2, n_gallery=15913, n_persons=748)
    for form in ("table", "github", "latex", "html"):
        text = render([whole], format=form)
        for fact in ("40 queries", "748-750 persons", "15,913 gallery images", "trials 0-2"):
            assert fact in text
    (line,) = csv.DictReader(io.StringIO(render([whole], format="csv")))
    assert [line[name] for name in ("queries", "gallery", "persons")] == ["40", "15913", "748-750"]
    (block,) = json.loads(render([whole], format="json"))["blocks"]
    assert (block["queries"], block["gallery"], block["persons"]) == ([40], [15913], [748, 750])


def _summary(scores: Sequence[TrialScores]) -> Summary:
    return Summary.of([trial.cmc[0] for trial in scores])


def test_joined_scores_are_those_of_all_trials(apart: list[Result]) -> None:
    (row,) = _rows(build(apart))
    summary = _summary(row.joined.trials)
    assert row.scores["R1"][:2] == (summary.mean, summary.std)
