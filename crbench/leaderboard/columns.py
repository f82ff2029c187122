"""The columns of the leaderboard. Each is one record, from which every format takes what it prints.

`measured_columns` gives those of measured methods, `published_columns` those of numbers from papers. A new column is
one more record in `_BEFORE`, `_AFTER`, `_TIMINGS` or `published_columns`; scores and speeds make theirs from what the
results hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, Literal, TypeVar

import attrs

from crbench.leaderboard import formats
from crbench.leaderboard.board import Row
from crbench.leaderboard.published import Published
from crbench.leaderboard.scores import Score, Spread
from crbench.leaderboard.speeds import Speed
from crbench.results import Result
from crbench.results.labels import clean

MISSING = "-"
_ARROWS = {"higher": " ↑", "lower": " ↓", None: ""}
_NOT_IN_TABLES = ("R20",)
"""Scores that only programs get: tables have R1, R5 and R10 already."""

_SCORES = (
    "Scores in per cent, mean ± standard deviation over trials; ranked by R1, then mAP, as printed, and only within "
    "one table."
)

Line = TypeVar("Line")


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
        better: the good end of its values, if there is one; it gives the arrow, and the page sorts from there.
        footnote: explains the column below the tables; columns may share one.
        numeric: its values are numbers: set flush right, and sorted as numbers.
        spread: its values are `Spread`; programs get two columns, `key` and `key` with ``_std``.
        ranked: people get it in ranked tables only.
        of_cell: a failed cell has it too.
    """

    key: str
    get: Callable[[Line], Any]
    title: str = ""
    text: Callable[[Any], str] = str
    label: Callable[[Line], str] | None = None
    better: Literal["higher", "lower"] | None = None
    footnote: str = ""
    numeric: bool = True
    spread: bool = False
    ranked: bool = False
    of_cell: bool = False

    @property
    def heading(self) -> str:
        """The title with its arrow."""
        return self.title + _ARROWS[self.better]

    @property
    def keys(self) -> tuple[str, ...]:
        """Its names in CSV and JSON."""
        return (self.key, f"{self.key}_std") if self.spread else (self.key,)

    def values(self, line: Line) -> tuple[Any, ...]:
        """What programs get of a line: one value for each of `keys`."""
        value = self.get(line)
        return (value or (None, None)) if self.spread else (value,)

    def cell(self, line: Line, mark: str = "") -> Cell:
        """What people get of a line."""
        value = self.get(line)
        text = MISSING if value is None else self.text(value)
        if self.label is not None:
            text = self.label(line)
        number = value.mean if isinstance(value, Spread) else value
        return Cell(text, number if self.numeric else None, mark)


def _of_cell(key: str, get: Callable[[Result], str]) -> Column[Row]:
    """A fact about the cell itself, for programs."""
    return Column(key=key, of_cell=True, get=lambda row: clean(get(row.result)))


_BEFORE: tuple[Column[Row], ...] = (
    Column(key="rank", title="rank", ranked=True, get=lambda row: row.rank),
    _of_cell("dataset", lambda result: result.dataset),
    _of_cell("protocol", lambda result: result.protocol.name),
    _of_cell("fingerprint", lambda result: result.fingerprint),
    _of_cell("rate_source", lambda result: result.rate_source),
    Column(key="backbone", title="backbone", numeric=False, of_cell=True, get=lambda row: row.backbone),
    Column(
        key="aligner",
        title="aligner",
        numeric=False,
        of_cell=True,
        get=lambda row: row.aligner,
        label=lambda row: f"{row.aligner} (baseline)" if row.baseline and row.rank else row.aligner,
    ),
    Column(key="baseline", get=lambda row: row.baseline),
)
"""Columns to the left of the scores: place, data, method."""

_AFTER: tuple[Column[Row], ...] = (
    Column(
        key="gain",
        title="gain",
        better="higher",
        spread=True,
        ranked=True,
        get=lambda row: row.gain,
        text=lambda gain: formats.points(*gain),
        footnote="gain: R1 points over the aligner 'none' with the same backbone and weights, trial by trial.",
    ),
    Column(
        key="parameters",
        title="params",
        get=lambda row: row.result.method.aligner.parameter_count,
        text=formats.short,
        footnote="params: learned parameters of the aligner.",
    ),
    Column(key="trials", get=lambda row: len(row.result.trials)),
    _of_cell("created", lambda result: result.created),
    _of_cell("crbench", lambda result: result.environment.crbench),
    _of_cell("cell_id", lambda result: result.cell_id),
    _of_cell("command", lambda result: result.command),
    Column(key="warnings", get=lambda row: clean("; ".join(row.result.warnings)) or None),
)
"""Columns to the right of the scores: gain, cost, origin. None depends on the moment at which a run was made."""

_TIMINGS: tuple[Column[Row], ...] = (
    Column(
        key="unchecked_fit_s",
        title="fit s (unchecked)",
        better="lower",
        get=lambda row: row.fit_s,
        text=formats.seconds,
        footnote="fit s: seconds of one fit.",
    ),
    Column(
        key="unchecked_samples_per_s",
        title="samples/s (unchecked)",
        better="higher",
        get=lambda row: row.samples_per_s,
        text=formats.short,
        footnote="samples/s: features aligned per second. unchecked: as the run took, on a machine that may have been "
        "busy; `crbench bench` measures speeds that can be compared.",
    ),
)
"""What runs took."""


def measured_columns(
    scores: Iterable[Score], speeds: Iterable[Speed] = (), machines: Sequence[str] = (), *, timings: bool = False
) -> list[Column[Row]]:
    """The columns of measured methods, from left to right.

    Args:
        scores: those to show, in order.
        timings: with those of what runs took.
        speeds: one for each column of speeds, in order.
        machines: of all speeds of the board; headings name them by their place here.
    """
    own = map(_score_column, scores)
    taken = _TIMINGS if timings else ()
    return [*_BEFORE, *own, *_AFTER, *taken, *(_speed_column(speed, machines) for speed in speeds)]


def published_columns(scores: Iterable[Score]) -> list[Column[Published]]:
    """The columns of published numbers, from left to right; CSV puts them below measured ones of the same key."""
    return [
        Column(
            key="aligner", title="method", numeric=False, get=lambda row: row.method, label=lambda r: f"{r.method}†"
        ),
        Column(key="backbone", title="backbone", numeric=False, get=lambda row: row.backbone or None),
        Column(key="year", title="year", get=lambda row: row.year),
        *map(_published_score, scores),
        Column(key="dataset", get=lambda row: row.dataset),
        Column(
            key="protocol",
            title="protocol",
            numeric=False,
            get=lambda row: row.protocol,
            label=lambda row: f"{row.protocol}, {row.rates}",
        ),
        Column(key="rates", get=lambda row: row.rates),
        Column(
            key="source",
            title="source",
            numeric=False,
            get=lambda row: row.source,
            label=lambda row: "; ".join(filter(None, (row.source, row.also))),
        ),
        Column(key="also", get=lambda row: row.also),
        Column(key="note", get=lambda row: row.note),
    ]


def _score_column(score: Score) -> Column[Row]:
    return Column(
        key=score.key,
        title="" if score.key in _NOT_IN_TABLES else score.title,
        better="lower" if score.lower_is_better else "higher",
        spread=True,
        get=lambda row: row.scores.get(score.key),
        text=lambda spread: score.text(*spread),
        footnote=_SCORES if score.fraction else f"{score.title}: not in per cent.",
    )


def _published_score(score: Score) -> Column[Published]:
    return Column(
        key=score.key,
        title=score.title,
        better="higher",
        get=lambda row: row.scores.get(score.key),
        text=score.text,
        footnote=_SCORES,
    )


def _speed_column(speed: Speed, machines: Sequence[str]) -> Column[Row]:
    return Column(
        key=f"{speed.title} @ {speed.machine}",
        title=f"{speed.title} [M{machines.index(speed.machine) + 1}]",
        better="higher",
        get=lambda row: next((own.per_second for own in row.speeds if own.key == speed.key), None),
        text=formats.rate,
    )
