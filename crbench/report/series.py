"""Which rows of a table its figures tell apart, and what is drawn of them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import attrs

from crbench.leaderboard.board import Block, Row
from crbench.report.svg import STYLES


@attrs.frozen
class Series:
    """A row with its place among the styles; the last place is that of the baseline."""

    row: Row
    place: int

    @property
    def name(self) -> str:
        """Backbone and aligner."""
        return method_name(self.row)


def method_name(row: Row) -> str:
    """What a row is called in prose."""
    return f"{row.backbone} + {row.aligner}"


def chosen(block: Block, count: int = STYLES) -> tuple[Series, ...]:
    """The first rows of a table and its best baseline, in the order of the table.

    Args:
        count: how many at most; by default as many as figures can tell apart.
    """
    rows = [row for row in block.rows if not row.doubtful]
    baseline = next((row for row in rows if row.baseline), None)
    others = [row for row in rows if row is not baseline]
    if baseline is None and len(others) >= count:
        return tuple(Series(row, place) for place, row in enumerate(others[:count]))
    own = [Series(row, place) for place, row in enumerate(others[: count - 1])]
    last = [] if baseline is None else [Series(baseline, count - 1)]
    return tuple(sorted([*own, *last], key=lambda series: rows.index(series.row)))


def curve(row: Row, length: int) -> list[float]:
    """The CMC of a row, mean over trainings and trials, in per cent; as far as all go and `length` at most."""
    curves = [trial.cmc[:length] for one in row.trainings for trial in one.trials]
    return [100 * fmean(values) for values in zip(*curves, strict=False)]


def rates(series: Sequence[Series]) -> list[str]:
    """The rates at which any of the rows has a Rank-1, lowest first."""
    found = {key.removeprefix("R1@") for one in series for key in one.row.scores if key.startswith("R1@")}
    return sorted(found, key=float)
