"""The matrix of differences: what the comparison of a board found, seen from each row."""

from __future__ import annotations

import attrs
import pytest
from html_page import faults
from leaderboard.conftest import Make

from crbench.leaderboard import arrange
from crbench.leaderboard.board import Block, Pair, View
from crbench.leaderboard.scores import Spread
from crbench.report.differences import SHOWN, matrix
from crbench.report.page import page


def compared(make: Make, names: tuple[str, ...], *, p: float = 0.01) -> Block:
    """A table of rows that are 10 points apart, each compared with each."""
    results = [make(name, (0.9 - 0.1 * cell,), cell=cell) for cell, name in enumerate(names)]
    block = arrange(results)[0].blocks[0]
    pairs = tuple(
        Pair(
            first=names[one],
            second=names[other],
            difference=Spread(0.1 * (other - one), None, 0.1 * (other - one) - 0.02, 0.1 * (other - one) + 0.03),
            p=p,
            p_holm=p,
        )
        for one in range(len(names))
        for other in range(one + 1, len(names))
    )
    rows = tuple(attrs.evolve(row, places=(1, len(names))) for row in block.rows)
    return attrs.evolve(block, rows=rows, pairs=pairs)


def test_each_cell_is_the_row_minus_the_column(make: Make) -> None:
    found = matrix(compared(make, ("ridge", "coral", "none")))
    assert found is not None
    assert [one.row.aligner for one in found.rows] == ["ridge", "coral", "none"]
    assert [[cell and (cell.text, cell.interval, cell.kind) for cell in row] for row in found.cells] == [
        [None, ("+10.0", "[8.0, 13.0]", "better"), ("+20.0", "[18.0, 23.0]", "better")],
        [("-10.0", "[-13.0, -8.0]", "worse"), None, ("+10.0", "[8.0, 13.0]", "better")],
        [("-20.0", "[-23.0, -18.0]", "worse"), ("-10.0", "[-13.0, -8.0]", "worse"), None],
    ]


def test_what_the_data_do_not_tell_apart_has_no_colour(make: Make) -> None:
    found = matrix(compared(make, ("ridge", "none"), p=0.2))
    assert found is not None
    assert {cell.kind for row in found.cells for cell in row if cell} == {"like"}


def test_a_long_table_shows_its_first_rows_and_the_baseline(make: Make) -> None:
    found = matrix(compared(make, (*(f"a{place}" for place in range(SHOWN)), "none")))
    assert found is not None
    assert [one.row.aligner for one in found.rows] == [*(f"a{place}" for place in range(SHOWN - 1)), "none"]


def test_all_rows_are_there_on_request(make: Make) -> None:
    names = (*(f"a{place}" for place in range(SHOWN)), "none")
    board, view = arrange([make("none", (0.1,))], View(pairwise=True))
    text = page(attrs.evolve(board, blocks=(compared(make, names),)), view, details=True)
    assert text.count('<td class="better">') == len(names) * (len(names) - 1) // 2


@pytest.mark.parametrize("names", [("ridge", "none"), ("ridge",)])
def test_without_a_comparison_there_is_none(make: Make, names: tuple[str, ...]) -> None:
    block = compared(make, names)
    plain = attrs.evolve(block, rows=tuple(attrs.evolve(row, places=None) for row in block.rows), pairs=())
    assert matrix(plain) is None
    assert matrix(compared(make, ("ridge",))) is None


def test_the_matrix_stands_on_the_page(make: Make) -> None:
    board, view = arrange([make("ridge", (0.5,)), make("none", (0.4,), cell=2)])
    board = attrs.evolve(board, blocks=(compared(make, ("ridge", "none")),))
    text = page(board, view, details=True)
    assert faults(text) == []
    assert '<td class="better"><strong>+10.0</strong> * <small>[8.0, 13.0] p 0.010</small></td>' in text
    assert "Holm's correction for the 1 pair of the table" in text.replace("&#39;", "'")
