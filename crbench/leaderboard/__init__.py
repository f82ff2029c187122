"""Results to a leaderboard: ranked among equals, as text, Markdown, LaTeX, CSV or JSON (the page: `crbench.report`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from crbench.errors import ConfigError, DataError

if TYPE_CHECKING:
    from crbench.bench import Bench
    from crbench.leaderboard.board import Board, View
    from crbench.leaderboard.choice import Choice
    from crbench.results import Result

TEXT_FORMATS = ("table", "github", "latex", "csv", "json")
"""What `as_text` can give."""

RANKS = (1, 5, 10)
"""Ranks of the CMC that tables have unless others are asked for."""

UNASKED = 20
"""Results of a table whose outcomes are read where nobody says whether they should be."""


def arrange(
    results: Sequence[Result],
    view: View | None = None,
    choice: Choice | None = None,
    *,
    benches: Iterable[Bench] = (),
    expand: bool = False,
    compare: bool | None = None,
    unasked: int = UNASKED,
) -> tuple[Board, View]:
    """The board of `results`, and what of it every format shows; see `crbench.report.render` for more.

    Args:
        view: what is to be shown; None = what a `View` shows by default.
        choice: the data sets and methods that it is about; None = all.
        benches: speeds to show.
        expand: a row for each training.
        compare: compare the rows of a table; None = where the outcomes of `unasked` results at most are to be read.

    Raises:
        ConfigError: a rank that no curve has, a column that no table has, a name that no result has, or pairs of rows
            that are not to be compared.
        DataError: no results.
    """
    import attrs

    from crbench.leaderboard.board import View
    from crbench.leaderboard.build import build
    from crbench.leaderboard.choice import EVERYTHING, asked_ranks, check_view
    from crbench.leaderboard.column import plain_name
    from crbench.metrics.cmc import CURVE_LENGTH

    view, choice = view or View(), choice or EVERYTHING
    if view.pairwise and compare is False:
        raise ConfigError("--no-compare --pairwise: pairs of rows are compared; leave one of both out")
    if not results:
        raise DataError("no results to show; `crbench run --dataset mlr-synthetic` makes some")
    view = attrs.evolve(view, columns=tuple(map(plain_name, view.columns)), sort=plain_name(view.sort))
    view = attrs.evolve(view, ranks=asked_ranks(view))
    if bad := [rank for rank in view.ranks if not 1 <= rank <= CURVE_LENGTH]:
        raise ConfigError(f"rank {bad[0]}: curves have ranks from 1 to {CURVE_LENGTH}")
    compare = view.pairwise or compare
    board = build(results, benches, view.ranks, choice, expand=expand, compare=compare, unasked=unasked)
    check_view(board, view, results)
    return board, view


def as_text(board: Board, view: View, format: str, *, colour: bool = False) -> str:
    """A board as text that ends with a newline.

    Args:
        format: one of `TEXT_FORMATS`.
        colour: mark best and second best by terminal codes (``table`` only).
    """
    if format in ("csv", "json"):
        from crbench.leaderboard.machine import render_csv, render_json

        return (render_csv if format == "csv" else render_json)(board, view)
    from crbench.leaderboard.text import render_github, render_latex, render_table

    if format == "table":
        return render_table(board, view, colour=colour)
    return (render_github if format == "github" else render_latex)(board, view)
