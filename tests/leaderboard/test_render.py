"""What each format adds: escaping, marks, machine formats, the page."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable

import pytest

from crbench.errors import ConfigError, DataError
from crbench.published import SOURCES
from crbench.report import FORMATS, render
from crbench.results import Result

Make = Callable[..., Result]


def test_unknown_format_and_no_results() -> None:
    with pytest.raises(ConfigError, match="unknown leaderboard format 'pdf'; known: table, github"):
        render([], format="pdf")
    with pytest.raises(DataError, match="no results to show"):
        render([])


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_ends_with_one_newline(form: str, board_results: list[Result]) -> None:
    text = render(board_results, format=form, published=True)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


def test_colour_marks_best_and_second_and_nothing_else(board_results: list[Result]) -> None:
    plain, coloured = (render(board_results, colour=colour) for colour in (False, True))
    assert "\x1b[1m52.0 ± 1.7\x1b[0m" in coloured
    assert "\x1b[4m44.0 ± 1.0\x1b[0m" in coloured
    assert re.sub(r"\x1b\[[014]m", "", coloured) == plain


def test_published_numbers_are_apart_daggered_and_cited(board_results: list[Result]) -> None:
    with_published = render(board_results, published=True)
    ranked, _, below = with_published.partition("mlr-viper, published numbers, not measured here, not ranked")
    assert "†" not in ranked
    assert re.search(r"VPFA† +TransReID +2025 +50\.5 +78\.8 +87\.6 .*liu2025vpfa, Table 3", below)
    assert f"† liu2025vpfa: {SOURCES['liu2025vpfa']}" in below
    assert "†" not in render(board_results)


@pytest.mark.parametrize("form", FORMATS)
def test_warnings_stand_under_their_table_once(make: Make, form: str) -> None:
    shared, own = "3 unreadable test images were skipped", "weights have no card"
    results = [
        make("none", (0.4,), cell=1, warnings=(shared,)),
        make("ridge", (0.5,), cell=2, warnings=(shared, own)),
        make("none", (0.4, 0.4), cell=3, shot="multi"),
    ]
    page = re.sub(r"<details>.*?</details>|<pre id=.*?</pre>", "", render(results, format=form), flags=re.DOTALL)
    visible = page.partition("<main>")[2] or page
    if form in ("csv", "json"):
        assert visible.count(shared) == 2
        return
    assert visible.count(f"warning: {shared}") == visible.count(shared) == 1
    assert f"warning, resnet-tiny + ridge: {own}" in visible
    tables = [part for part in visible.split("fingerprint ") if "resnet-tiny" in part]
    assert [shared in part for part in tables].count(True) == 1


def test_table_holds_no_terminal_codes_of_names(hostile: list[Result]) -> None:
    assert "\x1b" not in render(hostile, per_rate=True)


@pytest.mark.parametrize("form", FORMATS)
def test_no_column_of_any_format_lets_control_characters_through(hostile: list[Result], form: str) -> None:
    """Columns that only programs get by default can be asked for by people."""
    everything = csv.DictReader(io.StringIO(render(hostile, format="csv", per_rate=True))).fieldnames or []
    columns = [name for name in everything if name not in ("part", "error")]
    columns = [name for name in columns if not re.search(r"_(std|low|high|between)$", name)] + ["rank_low"]
    results = [one.read_from(f"results/{one.command}.json") for one in hostile]
    text = render(results, format=form, columns=columns, expand=True)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e\ud800-\udfff]", text)
    if form in ("table", "github", "latex"):
        assert "command" in text


def test_github_escapes_names(hostile: list[Result]) -> None:
    text = render(hostile, format="github")
    assert "<script" not in text
    assert "<b>" not in text
    cells = [len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("| ")]
    assert cells
    assert len(set(cells)) == 1
    assert re.search(r"(?<!\\)[`$]", text) is None


def test_latex_escapes_names(hostile: list[Result]) -> None:
    text = "\n".join(line for line in render(hostile, format="latex").splitlines() if not line.startswith("%"))
    assert r"\input" not in text
    assert r"\textbackslash{}input\{x\}" in text
    assert r"\$a\_b\^{}c\$ 50\% \#1 \& \textasciitilde{}" in text
    assert "{}[2pt]" in text
    body = re.sub(r"\\[\\{}%&#$_]", "", text)
    assert body.count("{") == body.count("}")
    assert "%" not in body
    rows = [line.count("&") for line in body.splitlines() if " & " in line]
    assert len(set(rows)) == 1


def test_latex_marks(board_results: list[Result]) -> None:
    text = render(board_results, format="latex")
    assert r"\textbf{52.0 $\pm$ 1.7}" in text
    assert r"\underline{44.0 $\pm$ 1.0}" in text
    assert r"only (-{}-limit 3)" in text
    assert {"\\toprule", "\\midrule", "\\bottomrule"} <= set(text.splitlines())
    assert text.splitlines()[0] == r"% in the preamble: \usepackage{booktabs}"


def test_csv_gives_the_raw_numbers_back(board_results: list[Result]) -> None:
    lines = list(csv.DictReader(io.StringIO(render(board_results, format="csv", per_rate=True))))
    by_cell = {result.cell_id: result for result in board_results if result.created.startswith("2026-11-21")}
    assert {cell for line in lines if line["cell_id"] for cell in line["cell_id"].split("; ")} == set(by_cell)
    for line in (line for line in lines if line["cell_id"] in by_cell and line["conflict"] != "True"):
        result = by_cell[line["cell_id"]]
        assert line["part"] == ("failed" if result.error else "ranked" if result.rankable else "partial")
        for name, summary in result.metrics.items():
            assert float(line[name]) == summary.mean
            assert (float(line[f"{name}_std"]) if line[f"{name}_std"] else None) == summary.std
        for rate, metrics in result.by_rate.items():
            assert float(line[f"R1@{rate}"]) == metrics["R1"].mean


def test_csv_disarms_formulas(hostile: list[Result]) -> None:
    lines = list(csv.DictReader(io.StringIO(render(hostile, format="csv"))))
    assert lines[1]["backbone"] == "'=1+1"
    assert float(lines[0]["R1"]) == 0.5


def test_json_keeps_parts_apart(board_results: list[Result]) -> None:
    board = json.loads(render(board_results, format="json", published=True))
    assert sorted((block["dataset"], len(block["rows"])) for block in board["blocks"]) == [
        ("mlr-synthetic", 3),
        ("mlr-synthetic", 6),
        ("mlr-viper", 1),
    ]
    assert [len(block["rows"]) for block in board["partial"]] == [1]
    assert [cell["error"].splitlines()[-1] for cell in board["failed"]] == ["ValueError: loss is NaN"]
    assert {row["dataset"] for row in board["published"]} == {"mlr-viper"}
    assert board["repeated"] == 1
    (conflict,) = board["apart"]
    assert "results/coral.json" in conflict
