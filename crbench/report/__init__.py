"""Results to what people read: every format of `crbench.leaderboard`, and one HTML page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from crbench.errors import ConfigError
from crbench.leaderboard import RANKS, TEXT_FORMATS, arrange, as_text
from crbench.leaderboard import UNASKED as TABLE_UNASKED

if TYPE_CHECKING:
    from crbench.bench import Bench
    from crbench.leaderboard.scores import SpreadKind
    from crbench.published import Published
    from crbench.report.strips import Request
    from crbench.results import Result

FORMATS = (*TEXT_FORMATS, "html")
"""What `render` can give."""

UNASKED = 300
"""Results of a table that a report compares where nobody says whether it should: it takes some 20 ms for each."""


def render(
    results: Iterable[Result],
    *,
    format: str = "table",
    ranks: Sequence[int] = RANKS,
    per_rate: bool = False,
    published: bool | Sequence[Published] = False,
    colour: bool = False,
    benches: Iterable[Bench] = (),
    timings: bool = False,
    columns: Sequence[str] = (),
    sort: str = "",
    top: int | None = None,
    spread: SpreadKind = "auto",
    datasets: Sequence[str] = (),
    backbones: Sequence[str] = (),
    aligners: Sequence[str] = (),
    expand: bool = False,
    details: bool = False,
    compare: bool | None = None,
    pairwise: bool = False,
    width: int | None = None,
    strips: Request | None = None,
) -> str:
    """The leaderboard of `results` as text that ends with a newline; see `crbench.leaderboard.build` for its rules.

    Args:
        results: as from `crbench.load_results`; their order does not matter.
        format: one of `FORMATS`.
        ranks: of the CMC, from 1 to 50, that tables have; R1 is always there. CSV and JSON have R1, R5, R10, R20 too.
        per_rate: add Rank-1 of the queries of each down-sampling rate.
        published: add the numbers that papers print for the same data sets, or given ones, in tables of their own.
        colour: mark best and second best by terminal codes (``table`` only).
        benches: as from `crbench.bench.load_benches`; adds the speed of each method, by machine.
        timings: add what the runs took, marked as unchecked: it depends on what else the machine did.
        columns: keys of the columns to show, as CSV has them, in this order; empty = those of the format.
        sort: key of the column that rows are ordered by, best first; empty = by their places.
        top: rows of each table that are shown.
        spread: what tables print beside a mean: ``interval`` over people, ``std`` over trials, ``none``, or ``auto``:
            the interval of R1 and gain, and ``std`` where results have no intervals. CSV and JSON have all of them.
        datasets, backbones, aligners: only these, see `crbench.leaderboard.choice.Choice`; empty = all.
        expand: a row for each training, not for all trainings of a method together.
        details: rows can be opened, and show trials, rates, command, machine and weights (``html`` only).
        compare: compare the rows of a table over the people of their queries, by the outcomes beside results: places
            that each may have, intervals of gains, the difference that the queries resolve. None = in tables of up to
            20 results, and in a report with details up to `UNASKED`.
        pairwise: add the difference of every pair of rows, with p-values corrected for their number; compares them.
        width: characters that a line may have: lines are broken, and columns left out from the right and named
            (``table`` only; none is left out where `columns` names them). None = any number.
        strips: images of queries and of what two methods find for them, if the user may publish them (``html`` only).

    Raises:
        ConfigError: unknown format, a rank that no curve has, a column that no table has, or a name that no result has.
        DataError: no results.

    Example:
        >>> render([], format="csv")
        Traceback (most recent call last):
        crbench.errors.DataError: no results to show; `crbench run --dataset mlr-synthetic` makes some
    """
    if format not in FORMATS:
        raise ConfigError(f"unknown leaderboard format {format!r}; known: {', '.join(FORMATS)}")
    from crbench.leaderboard.board import View
    from crbench.leaderboard.choice import Choice

    results = list(results)
    view = View(
        ranks=tuple(ranks),
        per_rate=per_rate,
        timings=timings,
        published=_printed(published, datasets or [result.dataset for result in results]),
        columns=tuple(columns),
        sort=sort,
        top=top,
        spread=spread,
        pairwise=pairwise,
        width=width,
    )
    choice = Choice(datasets=tuple(datasets), backbones=tuple(backbones), aligners=tuple(aligners))
    unasked = UNASKED if details else TABLE_UNASKED
    board, view = arrange(results, view, choice, benches=benches, expand=expand, compare=compare, unasked=unasked)
    if format != "html":
        return as_text(board, view, format, colour=colour)
    from crbench.report.page import page

    return page(board, view, details=details, request=strips)


def _printed(published: bool | Sequence[Published], datasets: Sequence[str]) -> tuple[Published, ...]:
    """The numbers of papers that are shown: given ones, those for these data sets, or none."""
    from crbench.published import published as printed_for

    if published is True:
        return printed_for(datasets)
    return tuple(published or ())
