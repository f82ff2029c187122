"""Tables of an analysis as text: for a terminal, GitHub or LaTeX."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
from tabulate import tabulate

from crbench.analysis.offsets import Estimate
from crbench.wording import broken

_GRIDS = {"table": "simple", "github": "pipe", "latex": "latex_booktabs"}
_LINE = {"table": "{}", "github": "{}", "latex": "% {}"}
FORMATS = (*_GRIDS, "json")
"""What `as_text` and `as_json` can give."""


@attrs.frozen
class Table:
    """A table with its title and, below it, how to read it."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def number(value: float, digits: int = 3) -> str:
    """A number with so many decimals; "-" where there is none.

    Example:
        >>> number(0.98181), number(float("nan"))
        ('0.982', '-')
    """
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def interval(found: Estimate, digits: int = 3, scale: float = 1.0) -> str:
    """A number with its interval.

    Example:
        >>> interval(Estimate(0.5, 0.4, 0.6), 1, 100)
        '50.0 [40.0, 60.0]'
    """
    if math.isnan(found.low):
        return number(scale * found.value, digits)
    value, low, high = (number(scale * end, digits) for end in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}]"


def per_cent(found: Estimate) -> str:
    """A share in per cent with its interval."""
    return interval(found, 1, 100)


def as_text(head: str, tables: Sequence[Table], findings: Sequence[str], form: str, width: int | None = None) -> str:
    """All tables, and what holds in words.

    Args:
        width: characters that a line may have: text is broken, and what a table has no place for follows below it.
            Only in form ``table``; None = lines as long as they are.
    """
    limit = width if form == "table" else None

    def line(text: str) -> str:
        return broken(_LINE[form].format(text), limit)

    parts = [line(head)]
    for table in (part for whole in tables for part in _fitting(whole, limit)):
        body = _grid(table, form)
        title = f"**{table.title}**" if form == "github" else line(table.title)
        parts.append("\n".join([title, *([""] if form == "github" else []), body]))
        if table.note:
            parts[-1] += ("\n\n" if form == "github" else "\n") + line(table.note)
    parts.append("\n".join(line(f"- {finding}") for finding in findings))
    return "\n\n".join(filter(None, parts)) + "\n"


def _fitting(table: Table, width: int | None) -> Iterator[Table]:
    """The table in parts that lines of `width` characters hold, each with the first column; the note is below the last.

    A part has one further column at least, whatever the width.
    """
    start, count = 1, len(table.headers)
    while width is not None and start + 1 < count and _width(_part(table, start, count)) > width:
        end = start + 1
        while _width(_part(table, start, end + 1)) <= width:
            end += 1
        yield _part(table, start, end)
        start = end
    yield attrs.evolve(_part(table, start, count), note=table.note)


def _part(table: Table, start: int, end: int) -> Table:
    """The first column and some others, without the note."""
    headers, *rows = ((row[0], *row[start:end]) for row in (table.headers, *table.rows))
    return Table(f"{table.title}, continued" if start > 1 else table.title, headers, tuple(rows))


def _width(table: Table) -> int:
    return max(map(len, _grid(table, "table").splitlines()))


def _grid(table: Table, form: str) -> str:
    return tabulate(
        [[_cell(cell, form) for cell in row] for row in table.rows],
        headers=[_cell(title, form) for title in table.headers],
        tablefmt=_GRIDS[form],
        disable_numparse=True,
        colalign=("left", *["right"] * (len(table.headers) - 1)),
    )


def _cell(text: str, form: str) -> str:
    return text.replace("|", r"\|") if form == "github" else text


def as_json(content: Mapping[str, Any]) -> str:
    """JSON with null where there is no number, and names in place of other keys."""
    return json.dumps(_plain(content), indent=2, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if attrs.has(type(value)):
        return _plain(attrs.asdict(value, recurse=False))
    if isinstance(value, Mapping):
        return {_name(key): _plain(own) for key, own in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(own) for own in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def _name(key: Any) -> str:
    parts = key if isinstance(key, tuple) else (key,)
    return " and ".join(f"{part:g}" if isinstance(part, float) else str(part) for part in parts)
