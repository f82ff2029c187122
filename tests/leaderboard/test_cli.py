"""``crbench leaderboard``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from crbench.cli.leaderboard import leaderboard
from crbench.errors import ConfigError, CrbenchError, DataError
from crbench.report import render
from crbench.results import Result, to_json

Make = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with two results below ``results``."""
    for cell, aligner in enumerate(("none", "ridge")):
        path = tmp_path / "results" / "mlr-synthetic-mlr" / aligner / f"{cell}.json"
        path.parent.mkdir(parents=True)
        path.write_text(to_json(make(aligner, (0.4 + cell / 10,), cell=cell)), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def _run(*arguments: str) -> str:
    done = CliRunner().invoke(leaderboard, arguments, catch_exceptions=False, color=True)
    assert done.exit_code == 0
    assert done.stderr == ""
    return done.stdout


def test_the_folder_results_is_the_default(folder: Path, make: Make, named: Callable[..., Result]) -> None:
    expected = [
        named(make(aligner, (score,), cell=cell), f"results/mlr-synthetic-mlr/{aligner}/{cell}.json")
        for cell, (aligner, score) in enumerate((("none", 0.4), ("ridge", 0.5)))
    ]
    assert _run() == render(expected)
    assert _run("results", "--format", "csv", "--per-rate") == render(expected, format="csv", per_rate=True)
    assert _run("--ranks", "1,2,20") == render(expected, ranks=(1, 2, 20))
    assert _run(str(folder / "results" / "mlr-synthetic-mlr" / "none" / "0.json")) == render(expected[:1])


def test_columns_order_and_rows_are_chosen(folder: Path) -> None:
    text = _run("--columns", "aligner, R1", "--sort", "aligner", "--top", "1")
    assert [line.split() for line in text.splitlines() if line.startswith(("aligner", "none", "ridge"))] == [
        ["aligner", "R1", "↑"],
        ["none", "(baseline)", "40.0"],
    ]
    assert "1 of 2 rows" in text
    assert "only aligner ridge" in _run("--aligner", "ridge", "--backbone", "resnet-tiny", "--dataset", "mlr-synthetic")


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_colour_follows_the_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], coloured: bool
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b[1m" in _run()) is coloured


def test_output_goes_to_a_file_without_colour(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert _run("--output", "board/board.txt") == ""
    text = (folder / "board" / "board.txt").read_text(encoding="utf-8")
    assert "\x1b" not in text
    assert "ridge" in text


def test_characters_that_the_terminal_lacks_are_replaced(folder: Path) -> None:
    done = CliRunner(charset="latin-1").invoke(leaderboard, [], catch_exceptions=False)
    assert "R1 ?" in done.stdout


def _error(*arguments: str, kind: type[CrbenchError] = DataError) -> str:
    with pytest.raises(kind) as caught:
        CliRunner().invoke(leaderboard, arguments, catch_exceptions=False)
    return str(caught.value)


def test_what_is_wrong_is_said(folder: Path) -> None:
    (folder / "empty").mkdir()
    (folder / "broken.json").write_text("{", encoding="utf-8")
    assert "no results in empty; `crbench run --dataset mlr-synthetic` makes some" in _error("empty")
    assert "nowhere: no such file or folder" in _error("nowhere")
    assert "broken.json: not valid JSON" in _error("broken.json")
    assert "--columns r1: no such column; did you mean 'R1'?" in _error("--columns", "r1", kind=ConfigError)
    assert "--sort x\ufffd: no such column" in _error("--sort", "x\x1b", kind=ConfigError)
    assert "--aligner rigde: no result has it; did you mean 'ridge'? known: none, ridge" in _error(
        "--aligner", "rigde", kind=ConfigError
    )
    refused = CliRunner().invoke(leaderboard, ["--output", "results"])
    assert (refused.exit_code, "File 'results' is a directory" in refused.output) == (2, True)
