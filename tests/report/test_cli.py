"""``crbench report``."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from html_page import opened
from leaderboard.conftest import Make

from crbench.cli import invoke
from crbench.report import render
from crbench.results import Result, load_results, to_json


@pytest.fixture
def results(tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch) -> list[Result]:
    """Two results in the folder ``results`` of the current folder."""
    found = [make("none", (0.4,), cell=0), make("ridge", (0.5,), cell=1)]
    (tmp_path / "results").mkdir()
    for result in found:
        (tmp_path / "results" / f"{result.cell_id}.json").write_text(to_json(result), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return found


def test_the_page_is_that_of_render(results: list[Result], capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["report", "--per-rate", "--ranks", "1,2"]) == 0
    assert capsys.readouterr() == ("", "crbench: wrote report.html\n")
    text = Path("report.html").read_text(encoding="utf-8")
    assert len(opened(text)) == len(results)
    assert "<h1>" in text
    options = {"per_rate": True, "ranks": (1, 2), "details": True}
    assert text == render(load_results(["results"]), format="html", **options)


def test_the_command_of_the_readme_makes_the_page(results: list[Result]) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^crbench (report .*)\n```\n\n!\[.*\]\(docs/report.png\)$", readme, re.MULTILINE)
    assert invoke(shlex.split(line)) == 0
    assert Path("report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_rows_can_be_chosen(results: list[Result]) -> None:
    assert invoke(["report", "results", "--aligner", "ridge", "-o", "pages/one.html"]) == 0
    assert len(opened(Path("pages/one.html").read_text(encoding="utf-8"))) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere"], 3, "nowhere: no such file or folder"),
        (["empty"], 3, "empty"),
        (["--columns", "mAQ"], 2, "--columns mAQ: no such column"),
        (["-o", "results"], 2, "is a directory"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    results: list[Result], capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    Path("empty").mkdir()
    assert invoke(["report", *arguments]) == code
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not Path("report.html").exists()
