"""Results to a leaderboard: ranked among equals, as text, Markdown, LaTeX, CSV, JSON or one HTML page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from crbench.errors import ConfigError, DataError

if TYPE_CHECKING:
    from crbench.bench import Bench
    from crbench.results import Result

FORMATS = ("table", "github", "latex", "csv", "json", "html")
"""What `render` can give."""

RANKS = (1, 5, 10)
"""Ranks of the CMC that tables have unless others are asked for."""


def check_format(format: str) -> None:
    """Refuse what `render` does not know, for callers that have long work to do first.

    Raises:
        ConfigError: `format` is not one of `FORMATS`.
    """
    if format not in FORMATS:
        raise ConfigError(f"unknown leaderboard format {format!r}; known: {', '.join(FORMATS)}")


def render(
    results: Iterable[Result],
    *,
    format: str = "table",
    ranks: Sequence[int] = RANKS,
    per_rate: bool = False,
    published: bool = False,
    colour: bool = False,
    benches: Iterable[Bench] = (),
    timings: bool = False,
) -> str:
    """The leaderboard of `results` as text that ends with a newline; see `crbench.leaderboard.build` for its rules.

    Args:
        results: as from `crbench.load_results`; their order does not matter.
        format: one of `FORMATS`.
        ranks: of the CMC, from 1 to 50, that tables have; R1 is always there. CSV and JSON have R1, R5, R10, R20 too.
        per_rate: add Rank-1 of the queries of each down-sampling rate.
        published: add the numbers that papers print for the same data sets, in tables of their own.
        colour: mark best and second best by terminal codes (``table`` only).
        benches: as from `crbench.bench.load_benches`; adds the speed of each method, by machine.
        timings: add what the runs took, marked as unchecked: it depends on what else the machine did.

    Raises:
        ConfigError: unknown format, or a rank that no curve has.
        DataError: no results.

    Example:
        >>> render([], format="csv")
        Traceback (most recent call last):
        crbench.errors.DataError: no results to show; `crbench run --dataset mlr-synthetic` makes some
    """
    check_format(format)
    from crbench.leaderboard.board import View
    from crbench.leaderboard.build import build
    from crbench.leaderboard.published import published as published_for
    from crbench.metrics.cmc import CURVE_LENGTH

    results = list(results)
    if not results:
        raise DataError("no results to show; `crbench run --dataset mlr-synthetic` makes some")
    if bad := [rank for rank in ranks if not 1 <= rank <= CURVE_LENGTH]:
        raise ConfigError(f"rank {bad[0]}: curves have ranks from 1 to {CURVE_LENGTH}")
    board = build(results, benches, ranks)
    rows = published_for(result.dataset for result in results) if published else ()
    view = View(ranks=tuple(ranks), per_rate=per_rate, timings=timings, published=rows)
    if format in ("csv", "json"):
        from crbench.leaderboard.machine import render_csv, render_json

        return (render_csv if format == "csv" else render_json)(board, view)
    if format == "html":
        from crbench.leaderboard.html import render_html

        return render_html(board, view)
    from crbench.leaderboard.text import render_github, render_latex, render_table

    if format == "table":
        return render_table(board, view, colour=colour)
    return (render_github if format == "github" else render_latex)(board, view)
