"""Tables of analyses as text that fits a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crbench.analysis.tables import Table, as_text

TABLE = Table(
    "Offsets of people by rate",
    ("rate", "cosine", "other halves", "two people", "length"),
    (("x2", "0.987", "0.981 to 0.994", "0.537 [0.516, 0.556]", "4.22"), ("x3", "0.988", "-", "0.5", "5.99")),
    "two people: mean cosine between the offsets of two different people, however many there are.",
)


@given(st.integers(40, 120))
def test_lines_fit_and_nothing_is_left_out(width: int) -> None:
    text = as_text(
        "a head of some words", [TABLE], ["a finding that has more words than the narrow lines hold"], "table", width
    )
    assert max(map(len, text.splitlines())) <= width
    words = text.split()
    for row in (TABLE.headers, *TABLE.rows):
        assert all(word in words for cell in row for word in cell.split())


def test_parts_repeat_the_first_column_and_have_the_note_below_the_last() -> None:
    first, second = as_text("", [TABLE], [], "table", 60).strip().split("\n\n")
    assert first.splitlines()[1].split() == ["rate", "cosine", "other", "halves", "two", "people"]
    assert second.splitlines()[0] == f"{TABLE.title}, continued"
    assert second.splitlines()[1].split() == ["rate", "length"]
    assert "two people: mean" in second
    assert "two people: mean" not in first


@pytest.mark.parametrize("form", ["github", "latex"])
def test_other_forms_are_as_wide_as_they_are(form: str) -> None:
    assert as_text("head", [TABLE], ["one"], form, 40) == as_text("head", [TABLE], ["one"], form)


def test_a_line_too_narrow_for_any_column_has_one_at_a_time() -> None:
    text = as_text("", [TABLE], [], "table", 10)
    assert [line.split()[1] for line in text.splitlines() if line.startswith("x3")] == ["0.988", "-", "0.5", "5.99"]
