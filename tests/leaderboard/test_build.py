"""The rules of the ranking."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crbench.leaderboard.board import Board, Row
from crbench.leaderboard.build import build
from crbench.leaderboard.formats import printed
from crbench.report import FORMATS, render
from crbench.results import Component, DataFacts, Method, Result, Summary

Make = Callable[..., Result]

_scores = st.lists(st.sampled_from([0.1, 0.10004, 0.2, 0.3]), min_size=2, max_size=2)
_cell = st.fixed_dictionaries(
    {
        "aligner": st.sampled_from(["none", "ridge", "vpfa/light"]),
        "rank1": _scores,
        "shot": st.sampled_from(["multi", "single:exact"]),
        "rate_source": st.sampled_from(["oracle", "presumed"]),
        "limit": st.sampled_from([None, 3]),
    }
)
_cells = st.lists(_cell, min_size=1, max_size=8)


def _place(row: Row) -> tuple[float, float]:
    metrics = row.result.metrics
    return printed(metrics["R1"].mean), printed(metrics["mAP"].mean) if "mAP" in metrics else 0.0


def _rows(board: Board) -> dict[str, Row]:
    return {row.result.cell_id: row for block in board.blocks for row in block.rows}


@settings(max_examples=30)
@given(cells=_cells)
def test_a_block_holds_equal_fingerprints_and_rate_sources_only(make: Make, cells: list[dict[str, object]]) -> None:
    board = build(make(cell=number, seed=number, **cell) for number, cell in enumerate(cells))
    keys = [
        {(row.result.fingerprint, row.result.rate_source) for row in block.rows}
        for block in (*board.blocks, *board.partial)
    ]
    assert all(len(key) == 1 for key in keys)
    assert len({key.pop() for key in keys[: len(board.blocks)]}) == len(board.blocks)
    assert all(row.result.rankable for row in _rows(board).values())
    assert all(row.rank is None and row.gain is None for block in board.partial for row in block.rows)


@settings(max_examples=30)
@given(cells=_cells)
def test_places_count_the_better_rows_and_ties_share_them(make: Make, cells: list[dict[str, object]]) -> None:
    for block in build(
        (make(cell=number, seed=number, **cell) for number, cell in enumerate(cells)), expand=True
    ).blocks:
        places = [_place(row) for row in block.rows]
        assert places == sorted(places, reverse=True)
        assert [row.rank for row in block.rows] == [1 + sum(p > place for p in places) for place in places]


@settings(max_examples=30)
@given(cells=_cells, data=st.data())
def test_input_order_does_not_matter(make: Make, cells: list[dict[str, object]], data: st.DataObject) -> None:
    results = [make(cell=number % 5, **cell) for number, cell in enumerate(cells)]
    shuffled = data.draw(st.permutations(results))
    assert render(results, format="csv", per_rate=True) == render(shuffled, format="csv", per_rate=True)


def test_equal_rank1_is_decided_by_map(make: Make) -> None:
    low, high = (make("ridge", (0.5,), cell=number, parameters={"alpha": number}, shot="multi") for number in (1, 2))
    trials = tuple(attrs.evolve(trial, scores={**trial.scores, "mAP": 0.7}) for trial in high.trials)
    metrics = {**high.metrics, "mAP": Summary.of([0.7])}
    rows = _rows(build([low, attrs.evolve(high, trials=trials, metrics=metrics)]))
    assert [rows[cell].rank for cell in ("000000000001", "000000000002")] == [2, 1]


def test_gain_is_paired_by_trial_and_over_the_same_weights(make: Make) -> None:
    board = build(
        [
            make("none", (0.2, 0.4), cell=1),
            make("vpfa", (0.3, 0.5), cell=2),
            make("vpfa", (0.3, 0.5), cell=3, backbone="other"),
        ]
    )
    rows = _rows(board)
    assert rows["000000000001"].gain is None
    assert rows["000000000002"].gain[:2] == (pytest.approx(0.1), pytest.approx(0.0))
    assert rows["000000000003"].gain is None


def test_gain_over_other_weights_is_not_given(make: Make) -> None:
    result = make("vpfa", (0.3, 0.3), cell=2)
    trials = (result.trials[0], attrs.evolve(result.trials[1], weights_sha256="c" * 64))
    rows = _rows(build([make("none", (0.2, 0.2), cell=1), attrs.evolve(result, trials=trials)]))
    assert rows["000000000002"].gain is None


def test_best_and_second_are_marked_with_ties(make: Make) -> None:
    values = {1: 0.5, 2: 0.50001, 3: 0.4, 4: 0.3}
    rows = _rows(
        build([make("ridge", (value,), cell=cell, parameters={"alpha": cell}) for cell, value in values.items()])
    )
    assert [rows[f"{cell:012x}"].marks.get("R1") for cell in values] == ["best", "best", "second", None]


def test_a_column_without_differences_is_not_marked(make: Make) -> None:
    rows = _rows(build([make("ridge", (0.5,), cell=1), make("coral", (0.5,), cell=2)]))
    assert all(row.marks == {} for row in rows.values())


def test_a_failure_counts_only_where_the_cell_has_no_result(make: Make) -> None:
    """Scores that were found stand, whatever happened later, and on whichever machine."""
    success = make(cell=1, created="2026-11-21T03:00:00+00:00")
    failed = attrs.evolve(success, status="failed", error="boom", trials=(), metrics={}, by_rate={})
    later = attrs.evolve(failed, created="2026-11-22T03:00:00Z")
    board = build([later, success, failed])
    assert (list(_rows(board)), board.failed) == (["000000000001"], ())
    assert build([later, failed]).failed == (later,)


def test_failed_cells_stand_apart(make: Make) -> None:
    failed = attrs.evolve(make(cell=2), status="failed", error="boom", trials=(), metrics={}, by_rate={})
    board = build([make(cell=1), failed])
    assert board.failed == (failed,)
    assert list(_rows(board)) == ["000000000001"]


def test_equal_labels_are_told_apart(make: Make) -> None:
    results = [make("vpfa/light", cell=cell, parameters={"hidden": hidden}) for cell, hidden in ((1, 512), (2, 2048))]
    results.append(make("vpfa/light", cell=3, parameters={"hidden": 512}, seed=7))
    assert sorted(row.aligner for row in _rows(build(results, expand=True)).values()) == [
        "vpfa/light [hidden=2048, seed=0]",
        "vpfa/light [hidden=512, seed=0]",
        "vpfa/light [hidden=512, seed=7]",
    ]
    assert sorted(row.aligner for row in _rows(build(results)).values()) == [
        "vpfa/light [hidden=2048, seed=0]",
        "vpfa/light [hidden=512]",
    ]


@pytest.mark.parametrize("form", FORMATS)
def test_a_changed_parameter_is_in_the_label_in_every_format(make: Make, form: str) -> None:
    """`vpfa/paper --set vpfa.epochs=1` stood there as vpfa/paper."""
    changed = {"parameters": {"epochs": 1, "hidden": 9}, "of_aligner": {"changed": {"epochs": 1, "drop": True}}}
    text = render([make("vpfa/paper", (0.5,), **changed)], format=form)
    assert "vpfa/paper [epochs=1, drop=true]" in text.replace("\\", "")


@pytest.mark.parametrize("form", FORMATS)
def test_a_changed_parameter_of_the_data_set_is_in_its_name(make: Make, form: str) -> None:
    """Detected and labelled boxes of CUHK03 are other data, and both stood there as mlr-cuhk03."""
    text = render([make("ridge", (0.5,), data=DataFacts(changed={"boxes": "labeled"}))], format=form)
    assert "mlr-synthetic [boxes=labeled]" in text.replace("\\", "")


def test_a_long_value_is_cut_and_labels_stay_distinct(make: Make) -> None:
    paths = ["x" * 60 + end for end in "ab"]
    results = [
        make("vpfa", (0.5,), cell=cell, parameters={"weights": path}, of_aligner={"changed": {"weights": path}})
        for cell, path in enumerate(paths)
    ]
    labels = [row.aligner for row in _rows(build(results)).values()]
    assert len(set(labels)) == 2
    assert all(len(label) < 80 for label in labels)


def test_labels_hold_no_control_characters(make: Make) -> None:
    part = Component(name="\x1b[2Jbad\u202ename\n", version="1")
    row = build([make(cell=1, method=Method(part, part))]).blocks[0].rows[0]
    assert row.aligner == row.backbone == "\ufffd[2Jbad\ufffdname\ufffd"
