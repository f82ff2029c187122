"""Whole tables, character by character; ``tests/golden/make_leaderboard.py`` writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from crbench.report import render
from crbench.results import Result


@pytest.mark.parametrize(
    ("form", "suffix"), [("table", "txt"), ("github", "md"), ("latex", "tex"), ("csv", "csv"), ("json", "json")]
)
def test_the_table_is_the_golden_one(form: str, suffix: str, board_results: list[Result], golden: Path) -> None:
    text = render(board_results, format=form, per_rate=form != "github", published=form != "json")
    assert text == (golden / f"leaderboard.{suffix}").read_text(encoding="utf-8")
