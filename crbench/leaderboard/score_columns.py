"""The columns of scores, of gains and of trainings, whose cells and footnotes depend on what the rows know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from crbench.leaderboard import formats
from crbench.leaderboard.board import Row, View
from crbench.leaderboard.column import MISSING, Column
from crbench.leaderboard.scores import Score, Spread, SpreadKind

_TRAININGS = (
    "trainings: with other seeds, all else equal; scores are means over them. ±: standard deviation of R1 between "
    "trainings. --expand shows each."
)
_PER_CENT = "Scores in per cent, means over the trials; ranked by R1, then mAP, as printed, and only within one table."
_STD = "±: standard deviation over trials, which differ by the protocol's draws only."
_GAP = (
    "gap closed: of the R1 points between 'none' and 'none' on the same queries unshrunk (the bound, in a table of its "
    "own), the share in per cent that the row gains; ?: the data do not tell that there is such a gap."
)
INTERVAL = (
    "[low, high]: 95 % interval for other people like these: people are drawn anew, each with all its queries in all "
    "trials."
)
"""What an interval in brackets means."""


def score_column(score: Score, view: View, rows: Sequence[Row]) -> Column[Row]:
    """A score; people get the ranks of their view only."""
    spreads = [row.scores[score.key] for row in rows if score.key in row.scores]
    kind = _spread_kind(view, rows, score.key == "R1")
    hidden = score.rate is None and score.cmc_rank not in (None, 1, *view.ranks)
    return Column(
        key=score.key,
        title="" if hidden else score.title,
        better="lower" if score.lower_is_better else "higher",
        spread=True,
        kept=score.key == "R1",
        get=lambda row: row.scores.get(score.key),
        text=lambda spread: spread.text(score.text, kind, first=score.text),
        footnotes=(
            *((_PER_CENT,) if score.fraction else (f"{score.title}: not in per cent.",)),
            *_explained(kind, spreads),
        ),
    )


def gain_column(view: View, rows: Sequence[Row]) -> Column[Row]:
    kind = _spread_kind(view, rows, True)
    return Column(
        key="gain",
        title="gain",
        better="higher",
        spread=True,
        ranked=True,
        kept=True,
        get=lambda row: row.gain,
        text=lambda gain: gain.text(formats.per_cent, kind, first=formats.signed),
        footnotes=(
            "gain: R1 points over the aligner 'none' with the same backbone and weights, trial by trial.",
            *_explained(kind, [row.gain for row in rows if row.gain is not None]),
        ),
    )


def gap_columns(rows: Sequence[Row]) -> tuple[Column[Row], Column[Row]]:
    """The bound of a row, and the share of the gap that it closes; people get it where any row has a bound."""
    return (
        Column(key="bound", get=_bound, text=formats.per_cent),
        Column(
            key="gap",
            title="gap closed" if any(row.bound for row in rows) else "",
            better="higher",
            spread=True,
            ranked=True,
            get=lambda row: row.gap,
            label=_gap_text,
            footnotes=(_GAP, INTERVAL),
        ),
    )


def _bound(row: Row) -> float | None:
    return fmean(one.metrics["R1"].mean for one in row.bound) if row.bound else None


def _gap_text(row: Row) -> str:
    if row.gap is None:
        return "?" if row.bound and row.over else MISSING
    return row.gap.text(formats.per_cent, "interval", first=formats.per_cent)


def trainings_column(rows: Sequence[Row]) -> Column[Row]:
    """How often a row was trained, and how far R1 moves between trainings; people get it where it tells something."""
    several = any(len(row.trainings) > 1 for row in rows)
    return Column(
        key="trainings",
        title="trainings" if several else "",
        get=lambda row: len(row.trainings),
        label=_trained,
        footnotes=(_TRAININGS,) if several else (),
    )


def _trained(row: Row) -> str:
    between = row.scores["R1"].between if "R1" in row.scores else None
    return str(len(row.trainings)) + (f" ± {formats.per_cent(between)}" if between is not None else "")


def _spread_kind(view: View, rows: Sequence[Row], leading: bool) -> SpreadKind:
    """What stands beside the means of a column.

    By default intervals, where any row has one, but only of the `leading` columns, by which rows are ranked: tables
    stay as wide as a terminal.
    """
    if view.spread != "auto":
        return view.spread
    if any(row.scores["R1"].low is not None for row in rows if "R1" in row.scores):
        return "interval" if leading else "none"
    return "std"


def _explained(kind: SpreadKind, spreads: Sequence[Spread]) -> Iterator[str]:
    """Footnotes of what `Spread.text` prints."""
    if kind == "interval" and any(one.low is not None for one in spreads):
        yield INTERVAL
    if kind == "std" and any(one.std is not None for one in spreads):
        yield _STD
