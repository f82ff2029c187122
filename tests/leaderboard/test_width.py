"""Tables as wide as the terminal: columns go from the right and are named, and those that matter most stay."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from crbench.cli.leaderboard import leaderboard
from crbench.cli.terminal import table_width
from crbench.report import FORMATS, render
from crbench.results import Result, to_json

KEPT = ["rank", "backbone", "aligner", "R1 ↑", "gain ↑"]


def headings(text: str) -> list[list[str]]:
    """The headings of each table of methods."""
    above = [line for line, rule in pairwise(text.splitlines()) if re.fullmatch(r"-+(  -+)+", rule)]
    return [re.split(r"  +", line.strip()) for line in above]


@pytest.fixture(scope="module")
def wide(board_results: list[Result]) -> str:
    return render(board_results)


@pytest.mark.parametrize("width", [20, 70, 85, 100, 115, 130, 160, 250])
def test_what_fits_is_shown_and_what_does_not_is_named(board_results: list[Result], wide: str, width: int) -> None:
    text = render(board_results, width=width)
    shown, everything = headings(text), headings(wide)
    assert len(shown) == len(everything) > 1
    said = " ".join(text.split())
    assert text.count("(--wide") == sum(len(some) < len(others) for some, others in zip(shown, everything, strict=True))
    for some, others in zip(shown, everything, strict=True):
        assert [one for one in others if one in some] == some  # in their order
        assert set(KEPT) & set(others) == set(KEPT) & set(some)
        gone = [one.removesuffix(" ↑").removesuffix(" ↓") for one in others if one not in some]
        assert not gone or f"characters: {', '.join(gone)} (--wide" in said
    grids = [line for line in text.splitlines() if re.match(r"[- ]+$", line)]
    needed = max(len(line) for line in render(board_results, width=20).splitlines() if re.match(r"[- ]+$", line))
    assert all(len(line) <= max(width, needed) for line in grids)


def test_lines_are_broken_between_words(board_results: list[Result], wide: str) -> None:
    text = render(board_results, width=70)
    below = text.split("\n\n")[-1]
    assert max(map(len, below.splitlines())) <= 70
    assert max(map(len, text.splitlines()[:2])) <= 70
    assert "only within one table." in " ".join(below.split())
    assert max(map(len, wide.splitlines())) > 300


def test_columns_that_are_asked_for_are_all_shown(board_results: list[Result]) -> None:
    text = render(board_results, width=30, columns=("backbone", "R1", "R5", "params", "MACs"))
    assert "columns left out" not in text
    assert all(found == ["backbone", "R1 ↑", "R5 ↑", "params", "MACs"] for found in headings(text))


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "table"])
def test_no_other_format_has_a_width(board_results: list[Result], form: str) -> None:
    assert render(board_results, format=form, width=20) == render(board_results, format=form)


@pytest.mark.parametrize("terminal", [True, False])
def test_only_a_terminal_has_a_width(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal, raising=False)
    monkeypatch.setenv("COLUMNS", "77")
    assert table_width(wide=False) == (77 if terminal else None)
    assert table_width(wide=True) is None


def test_the_command_line_fits_the_terminal_unless_it_is_told_not_to(
    tmp_path: Path, make: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "one.json"
    path.write_text(to_json(make("none", (0.4,), cell=1)), encoding="utf-8")
    monkeypatch.setattr("crbench.cli.leaderboard.table_width", lambda wide: None if wide else 50)

    def printed(*arguments: str) -> str:
        return CliRunner().invoke(leaderboard, [str(path), *arguments], catch_exceptions=False).stdout

    assert "(--wide" in printed()
    assert "(--wide" not in printed("--wide")
    file = tmp_path / "board.txt"
    printed("--output", str(file))
    assert "(--wide" not in file.read_text(encoding="utf-8")
