"""The bound of a row and the share of the gap that it closes: which results belong together, and what tables say."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from kept import keep

from crbench.leaderboard.board import Board, Row
from crbench.leaderboard.build import build
from crbench.report import render
from crbench.results import Result, load_results, to_json
from crbench.statistics import gap_closed, read_queries

Make = Callable[..., Path]
UNSHRUNK = {"query_rates": []}


@pytest.fixture
def made(tmp_path: Path) -> Make:
    """Writes a result of two trials whose backbone was given its weights."""
    from crbench.results import from_json

    method = from_json((Path(__file__).parents[1] / "golden" / "result-2.json").read_text(), "golden").method
    given = attrs.evolve(method.backbone, trained=False)

    def make(aligner: str, noise: float, rules: dict[str, Any] | None = None, **fields: Any) -> Path:
        cell = f"{len(list(tmp_path.rglob('*.json'))):012x}"
        own = attrs.evolve(method.aligner, name=aligner, preset=None, changed={})
        fields = {"cell_id": cell, "method": attrs.evolve(method, backbone=given, aligner=own), **fields}
        rates = (1,) if rules else (3,)
        return keep(tmp_path, aligner, noise=noise, trials=(0, 1), rules=rules, rates=rates, **fields)

    return make


def board(folder: Path, **options: Any) -> Board:
    return build(load_results([folder]), compare=True, **options)


def rows(found: Board) -> dict[str, Row]:
    """The rows of the table of shrunk queries, of which there are two."""
    (block,) = (block for block in found.blocks if len(block.rows) == 2)
    return {row.aligner: row for row in block.rows}


def test_a_row_closes_what_the_statistics_say(made: Make, tmp_path: Path) -> None:
    none, ridge, bound = made("none", 3.0), made("ridge", 0.4), made("none", 0.0, UNSHRUNK)
    found = board(tmp_path)
    own = rows(found)["ridge"]
    expected = gap_closed(*(read_queries(load_results([path])[0]) for path in (ridge, none, bound)), "R1")
    assert expected is not None
    assert own.gap is not None
    assert (own.gap.mean, own.gap.low, own.gap.high) == attrs.astuple(expected)
    assert rows(found)["none"].gap is None, "nothing is over itself"
    assert [block.bound for block in found.blocks] == [False, True], "the bound stands below"


def test_tables_say_what_the_gap_is_and_which_table_has_the_bound(made: Make, tmp_path: Path) -> None:
    made("none", 3.0), made("ridge", 0.4), made("none", 0.0, UNSHRUNK)
    results = load_results([tmp_path])
    text = render(results, compare=True)
    assert "gap closed ↑" in text
    assert "queries unshrunk: the bound of another table" in text
    assert "gap closed: of the R1 points between 'none' and" in text
    line = next(one for one in csv.DictReader(io.StringIO(render(results, format="csv", compare=True))) if one["gap"])
    (own,) = (row for row in board(tmp_path).blocks[0].rows if row.gap)
    assert own.gap is not None
    assert float(line["gap"]) == pytest.approx(own.gap.mean)
    assert float(line["gap_low"]) == pytest.approx(own.gap.low)
    assert float(line["bound"]) == pytest.approx(own.bound[0].metrics["R1"].mean)


def test_without_a_bound_nothing_of_it_is_shown(made: Make, tmp_path: Path) -> None:
    made("none", 3.0), made("ridge", 0.4)
    assert "gap" not in render(load_results([tmp_path]), compare=True)


def test_a_gap_that_the_data_do_not_show_is_no_number(made: Make, tmp_path: Path) -> None:
    made("none", 0.4), made("ridge", 0.4), made("none", 0.4, UNSHRUNK)
    row = rows(board(tmp_path))["ridge"]
    assert row.bound
    assert row.gap is None
    assert "  ?  " in render(load_results([tmp_path]), compare=True)


@pytest.mark.parametrize(
    "other",
    [
        {"rules": {**UNSHRUNK, "kernel": "bicubic"}},
        {"code": {"dataset": "9" * 64}},
        {"aligner": "coral"},
    ],
    ids=["rules", "data set", "aligner"],
)
def test_what_differs_in_more_than_the_rates_is_no_bound(made: Make, tmp_path: Path, other: dict[str, Any]) -> None:
    made("none", 3.0), made("ridge", 0.4)
    made(**{"aligner": "none", "noise": 0.0, "rules": UNSHRUNK, **other})
    assert not rows(board(tmp_path))["ridge"].bound


def test_other_weights_are_no_bound(made: Make, tmp_path: Path) -> None:
    made("none", 3.0), made("ridge", 0.4)
    path = made("none", 0.0, UNSHRUNK)
    (bound,) = load_results([path])
    moved = attrs.evolve(bound, trials=[attrs.evolve(one, weights_sha256="7" * 64) for one in bound.trials])
    path.write_text(to_json(_sealed(moved)))
    assert not rows(board(tmp_path))["ridge"].bound


def _sealed(result: Result) -> Result:
    return attrs.evolve(result, content_sha256=None)


def test_json_has_the_bound(made: Make, tmp_path: Path) -> None:
    made("none", 3.0), made("ridge", 0.4), made("none", 0.0, UNSHRUNK)
    content = json.loads(render(load_results([tmp_path]), format="json", compare=True))
    text = json.dumps(content)
    assert '"gap_high"' in text
    assert '"bound"' in text
