"""A comparison of two rows, and the facts in which two results differ, as people read them and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import attrs
from tabulate import tabulate

from crbench.leaderboard.board import trial_list
from crbench.leaderboard.compare import Change, Comparison, Group
from crbench.leaderboard.differences import NONE, Difference
from crbench.leaderboard.formats import number, per_cent, signed
from crbench.leaderboard.markup import PREAMBLE, escape_latex, escape_markdown, finish_latex, guard_latex
from crbench.leaderboard.sides import Side
from crbench.results import Interval

Format = Literal["table", "github", "latex", "json"]

_LEAST_P = 0.001
"""Smaller p-values are printed as below it."""


@attrs.frozen
class _Table:
    """Cells under headings; the first `left` columns are words, the others numbers."""

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1


def render_comparison(found: Comparison, form: Format) -> str:
    """A comparison as text that ends with a newline."""
    if form == "json":
        return json.dumps(attrs.asdict(found), indent=1) + "\n"
    tables = [_groups(found)] + ([_changes(found)] if found.changes else [])
    return _set(list(_said(found)), tables, list(_notes(found)), form)


def render_differences(sides: tuple[Side, Side], found: Sequence[Difference], form: Format) -> str:
    """The facts in which two results differ, as text that ends with a newline."""
    if form == "json":
        content = {"first": sides[0], "second": sides[1], "differences": list(found)}
        return json.dumps(content, default=attrs.asdict, indent=1) + "\n"
    if not found:
        return _set([*_named(sides), "They differ in no fact beside scores, times and file names."], [], [], form)
    rows = tuple((one.part, one.name, one.first, one.second) for one in found)
    table = _Table("Facts that differ", ("part", "fact", "A", "B"), rows, left=4)
    meanings = [f"{one.name}: {one.meaning}" for one in found if one.meaning]
    if any(NONE in (one.first, one.second) for one in found):
        meanings.append(f"{NONE}: none, or the file does not tell")
    forbidding = [one.name for one in found if one.forbids]
    said = "They can be compared query by query: `crbench compare`."
    if forbidding:
        said = f"They answer different questions, and are not compared, as they differ in {', '.join(forbidding)}."
    return _set([*_named(sides), said], [table], meanings, form)


def _named(sides: tuple[Side, Side]) -> Iterator[str]:
    for letter, side in zip("AB", sides, strict=True):
        trainings = f", mean over {side.trainings} trainings" if side.trainings > 1 else ""
        yield f"{letter}: {side.label}{trainings} ({', '.join(side.files)})"


def _said(found: Comparison) -> Iterator[str]:
    yield from _named((found.first, found.second))
    whole, count = found.groups[0], len(found.trials)
    trials = f"trial{'' if count == 1 else 's'} {trial_list(found.trials)}"
    yield (
        f"{found.dataset}, protocol {found.protocol}, {trials}, {whole.queries:,} queries of {whole.identities:,} "
        f"persons that both answered, fingerprint {found.fingerprint}"
    )
    yield _verdict(found, whole)
    if sum(found.left_out):
        yield f"Left out: {found.left_out[0]:,} queries that only A has, and {found.left_out[1]:,} that only B has."


def _verdict(found: Comparison, group: Group) -> str:
    """Which row is better, in words."""
    scores = f"{found.metric}: A {_value(found, group.first)}, B {_value(found, group.second)}."
    if group.tied == group.queries:
        return f"{scores} A and B are equal in every query."
    if group.p is None or group.interval is None:
        return f"{scores} All queries show one person, so nothing tells how others differ."
    alpha, less = 1 - found.level, (group.difference < 0) != found.lower_is_better
    difference = f"{_signed(found, group.difference)}{' points' if found.fraction else ''}"
    p = f"p {_p(group.p)}" if group.p < _LEAST_P else f"p = {_p(group.p)}"
    facts = f"A - B = {difference} {_ends(found, group.interval)}, {p}."
    if group.p <= alpha:
        text = f"{'B' if less else 'A'} is better, and these queries tell them apart: {facts}"
    else:
        text = f"These queries do not tell A and B apart: {facts}"
    if (group.interval.low <= 0 <= group.interval.high) == (group.p <= alpha):
        text += " Interval and p-value disagree, as the difference is at the edge of what these queries tell."
    return f"{scores} {text}"


def _groups(found: Comparison) -> _Table:
    headings = ("group", "queries", "persons", "A", "B", "A - B", "95 %", "p", "A better", "B better", "equal")
    rows = tuple(
        (
            group.name,
            f"{group.queries}",
            f"{group.identities}",
            _value(found, group.first),
            _value(found, group.second),
            _signed(found, group.difference),
            _ends(found, group.interval),
            _p(group.p),
            f"{group.won}",
            f"{group.lost}",
            f"{group.tied}",
        )
        for group in found.groups
    )
    return _Table(f"{found.metric}, query by query", headings, rows)


def _changes(found: Comparison) -> _Table:
    def row(one: Change) -> tuple[str, ...]:
        values = (_value(found, one.first), _value(found, one.second), _signed(found, one.first - one.second))
        return (one.key, ", ".join(one.rates), f"{one.pid}", f"{one.queries}", *values)

    headings = ("image", "rates", "person", "queries", "A", "B", "A - B")
    return _Table("Most changed", headings, tuple(map(row, found.changes)), left=2)


def _notes(found: Comparison) -> Iterator[str]:
    unit = "Scores in per cent, differences in points. " if found.fraction else ""
    whole = found.groups[0]
    yield (
        f"{unit}95 %: interval of the difference for other people like these; the people are drawn anew, each with all "
        f"its queries in all trials. p: two-sided, of {whole.permutations:,} permutations that exchange A and B for "
        "whole persons. Gallery and training stay as they are, so other ones may differ by more."
    )
    for letter, side in zip("AB", (found.first, found.second), strict=True):
        if side.between is not None:
            yield (
                f"Between its {side.trainings} trainings, {found.metric} of {letter} has a standard deviation of "
                f"{_size(found, side.between)}, which the interval does not hold."
            )
    if len(found.groups) > 2:
        yield "p-values of the groups are not corrected for their number."
    if whole.resolution is not None:
        yield (
            f"These queries resolve differences of {_size(found, whole.resolution)} between A and B: one as large is "
            "found with a probability of 80 %."
        )


def _value(found: Comparison, value: float) -> str:
    return per_cent(value) if found.fraction else number(value)


def _signed(found: Comparison, value: float) -> str:
    return signed(value) if found.fraction else f"{value:+.4g}"


def _size(found: Comparison, value: float) -> str:
    return f"{per_cent(value)} points" if found.fraction else number(value)


def _ends(found: Comparison, interval: Interval | None) -> str:
    return "-" if interval is None else f"[{_signed(found, interval.low)}, {_signed(found, interval.high)}]"


def _p(value: float | None) -> str:
    if value is None:
        return "-"
    return f"< {_LEAST_P}" if value < _LEAST_P else f"{value:.2g}"


def _set(said: Sequence[str], tables: Sequence[_Table], notes: Sequence[str], form: Format) -> str:
    """Lines, tables and notes in the markup of a format."""
    if form == "latex":
        comments = [f"% {line}" for line in (*said, *notes)]
        return "\n\n".join(["\n".join([PREAMBLE, *comments]), *map(_latex, tables)]) + "\n"
    if form == "github":
        small = [f"<sub>{escape_markdown(line)}</sub>" for line in notes]
        grids = [_grid(table, "pipe", escape_markdown) for table in tables]
        return "\n\n".join([*map(escape_markdown, said), *grids, *small]) + "\n"
    parts = ["\n".join(said), *(_grid(table, "simple", str) for table in tables), "\n".join(notes)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _latex(table: _Table) -> str:
    grid = finish_latex(_grid(table, "latex_booktabs", guard_latex))
    caption = escape_latex(table.caption)
    return f"\\begin{{table}}\n\\centering\n\\caption{{{caption}}}\n{grid}\n\\end{{table}}"


def _grid(table: _Table, form: str, cell: Callable[[str], str]) -> str:
    numbers = len(table.headings) - table.left
    return tabulate(
        [[cell(text) for text in row] for row in table.rows],
        headers=[cell(text) for text in table.headings],
        tablefmt=form,
        disable_numparse=True,
        colalign=["left"] * table.left + ["right"] * numbers,
    )
