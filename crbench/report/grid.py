"""A table of the leaderboard as the page sets it: one column names the method, and a row may be opened."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

import attrs

from crbench.leaderboard.column import Cell, Column
from crbench.leaderboard.tables import Table

_METHOD = ("backbone", "aligner")


@attrs.frozen
class Head:
    """The head of a column; see `crbench.leaderboard.column.Column`.

    Attributes:
        minor: a small screen goes without the column.
    """

    key: str
    title: str
    numeric: bool = False
    better: str | None = None
    minor: bool = False


@attrs.frozen
class Line:
    """One row.

    Attributes:
        id: distinct on the page.
        name: what names it, in parts: backbone and aligner.
        before, after: the cells beside the name.
        kind: ``baseline``, ``disputed`` where it disagrees with another result or its outcomes, or empty.
    """

    id: str
    name: tuple[str, ...]
    before: tuple[Cell, ...]
    after: tuple[Cell, ...]
    kind: str


@attrs.frozen
class Grid:
    """A table of the page.

    Attributes:
        id: distinct on the page.
        caption: for those who do not see the heading above it.
        before, head, after: heads of the columns, `head` that of the names; None where no column names the rows.
        lines: its rows.
        opens: rows can be opened.
    """

    id: str
    caption: str
    before: tuple[Head, ...]
    head: Head | None
    after: tuple[Head, ...]
    lines: tuple[Line, ...]
    opens: bool

    @property
    def heads(self) -> tuple[Head, ...]:
        """Those of all columns, from left to right."""
        return *self.before, *([self.head] if self.head else []), *self.after


def grid_of(table: Table, *, id: str, names: Sequence[str] = _METHOD, opens: bool = False) -> Grid:
    """The table as the page sets it.

    Args:
        id: distinct on the page.
        names: keys of the columns that name a row together; those before them stay before.
        opens: rows can be opened.
    """
    columns = table.columns
    keys = {column.key for column in columns}
    places = [place for place, column in enumerate(columns) if column.key in names]
    start = min(places, default=0)
    left = [place for place in range(start) if place not in places]
    right = [place for place in range(start, len(columns)) if place not in places]
    marks = [_marks_worth_showing([row[place] for row in table.rows]) for place in range(len(columns))]

    def cells(row: Sequence[Cell], chosen: Sequence[int]) -> tuple[Cell, ...]:
        shown = ((row[place], marks[place]) for place in chosen)
        return tuple(cell if cell.mark in worth else attrs.evolve(cell, mark="") for cell, worth in shown)

    return Grid(
        id=id,
        caption=", ".join(table.facts),
        before=tuple(_head(columns[place], keys) for place in left),
        head=Head("method", "method") if places else None,
        after=tuple(_head(columns[place], keys) for place in right),
        lines=tuple(
            Line(
                id=f"{id}-{number}",
                name=tuple(row[place].text for place in places),
                before=cells(row, left),
                after=cells(row, right),
                kind=_kind(table, number),
            )
            for number, row in enumerate(table.rows)
        ),
        opens=opens,
    )


def _kind(table: Table, number: int) -> str:
    if table.lines and table.lines[number].doubtful:
        return "disputed"
    return "baseline" if table.baselines[number] else ""


def _head(column: Column[Any], keys: Container[str]) -> Head:
    """The head of a column in a table with these keys; the order tells the rank, where places have a column too."""
    minor = column.key == "rank" and "rank_low" in keys
    return Head(column.key, column.title, column.numeric, column.better, minor)


def _marks_worth_showing(cells: Sequence[Cell]) -> set[str]:
    """``best`` and ``second`` say nothing where half of a column has them, as where most rows reach 100 per cent."""
    marks = [cell.mark for cell in cells]
    return {mark for mark in ("best", "second") if 2 * marks.count(mark) <= max(len(cells), 2)}
