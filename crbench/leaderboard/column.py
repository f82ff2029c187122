"""What a column of the leaderboard is: one record, from which every format takes what it prints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Literal, TypeVar

import attrs

from crbench.leaderboard.scores import Spread

MISSING = "-"
"""What people get where a line has no value."""

_ARROWS = {"higher": " ↑", "lower": " ↓", None: ""}
_FURTHER = tuple(f"_{part}" for part in Spread._fields[1:])

Line = TypeVar("Line")


def plain_name(name: str) -> str:
    """What a column is asked for by, without the arrow of its heading.

    Example:
        >>> plain_name("R1 x2 ↑")
        'R1 x2'
    """
    return name.removesuffix(_ARROWS["higher"]).removesuffix(_ARROWS["lower"])


def score_name(name: str) -> str:
    """The score that a name in CSV is about.

    Example:
        >>> score_name("R3_low"), score_name("R3")
        ('R3', 'R3')
    """
    return next((name.removesuffix(part) for part in _FURTHER if name.endswith(part)), name)


@attrs.frozen
class Cell:
    """One cell for people: its text, the number behind it (for sorting) and ``best``, ``second`` or nothing."""

    text: str
    value: float | None = None
    mark: str = ""


@attrs.frozen(kw_only=True)
class Column(Generic[Line]):
    """One column, in every format.

    Attributes:
        key: its name in CSV and JSON.
        get: its value in a line of the board: text, a number or a `Spread`; None = the line has none.
        title: its heading for people, without the arrow; empty = only programs get the column.
        text: writes a value for people.
        label: writes a line for people, where its value alone is not enough; used instead of `text`.
        number: what a line is sorted by, where it is not its value.
        better: the good end of its values, if there is one; it gives the arrow, and the page sorts from there.
        footnotes: sentences that explain the column below the tables; columns may share them.
        numeric: its values are numbers: set flush right, and sorted as numbers.
        spread: its values are `Spread`; programs get a column for each field: `key`, and it with ``_std``, ``_low``,
            ``_high`` and ``_between``.
        ranked: people get it in ranked tables only.
        of_cell: a failed cell has it too.
        kept: it stays where a table must be narrow.
    """

    key: str
    get: Callable[[Line], Any]
    title: str = ""
    text: Callable[[Any], str] = str
    label: Callable[[Line], str] | None = None
    number: Callable[[Line], float | None] | None = None
    better: Literal["higher", "lower"] | None = None
    footnotes: tuple[str, ...] = ()
    numeric: bool = True
    spread: bool = False
    ranked: bool = False
    of_cell: bool = False
    kept: bool = False

    @property
    def name(self) -> str:
        """What people ask for it by: its key; columns that measure the same on several machines share one."""
        return self.key.partition(" @ ")[0]

    @property
    def heading(self) -> str:
        """The title with its arrow."""
        return self.title + _ARROWS[self.better]

    @property
    def keys(self) -> tuple[str, ...]:
        """Its names in CSV and JSON."""
        return (self.key, *(self.key + part for part in _FURTHER)) if self.spread else (self.key,)

    def values(self, line: Line) -> tuple[Any, ...]:
        """What programs get of a line: one value for each of `keys`."""
        value = self.get(line)
        return (value or (None,) * len(self.keys)) if self.spread else (value,)

    def cell(self, line: Line, mark: str = "") -> Cell:
        """What people get of a line."""
        value = self.get(line)
        text = MISSING if value is None else self.text(value)
        if self.label is not None:
            text = self.label(line)
        number = value.mean if isinstance(value, Spread) else value
        if self.number is not None:
            number = self.number(line)
        return Cell(text, number if self.numeric and isinstance(number, (int, float)) else None, mark)
