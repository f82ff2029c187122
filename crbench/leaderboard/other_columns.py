"""The columns of lines that are no measured method: pairs of rows, and numbers that papers print."""

from __future__ import annotations

from collections.abc import Iterable

from crbench.leaderboard import formats
from crbench.leaderboard.board import Pair
from crbench.leaderboard.column import Column
from crbench.leaderboard.score_columns import INTERVAL
from crbench.leaderboard.scores import Score
from crbench.published import Published, as_printed


def pair_columns() -> list[Column[Pair]]:
    """The columns of pairs of rows, from left to right."""
    return [
        Column(key="first", title="row", numeric=False, get=lambda pair: pair.first),
        Column(key="second", title="other row", numeric=False, get=lambda pair: pair.second),
        Column(
            key="difference",
            title="difference",
            spread=True,
            get=lambda pair: pair.difference,
            text=lambda one: one.text(formats.per_cent, "interval", first=formats.signed),
            footnotes=("difference: R1 points of the row minus the other row, on the same queries.", INTERVAL),
        ),
        Column(key="p", title="p", get=lambda pair: pair.p, text=formats.probability),
        Column(
            key="p_holm",
            title="p (Holm)",
            get=lambda pair: pair.p_holm,
            text=formats.probability,
            footnotes=(
                "p: paired permutation test over people; Holm: corrected for the number of pairs of the table.",
            ),
        ),
    ]


def published_columns(scores: Iterable[Score]) -> list[Column[Published]]:
    """The columns of published numbers, from left to right; CSV puts them below measured ones of the same key."""
    return [
        Column(
            key="aligner",
            title="method",
            numeric=False,
            kept=True,
            get=lambda row: row.method,
            label=lambda row: f"{row.method}†",
        ),
        Column(key="backbone", title="backbone", numeric=False, get=lambda row: row.backbone or None),
        Column(key="year", title="year", get=lambda row: row.year),
        *map(_published_score, scores),
        Column(key="evidence", get=lambda row: "published"),
        Column(key="dataset", get=lambda row: row.dataset),
        Column(
            key="protocol",
            title="protocol",
            numeric=False,
            get=lambda row: row.protocol,
            label=lambda row: ", ".join(filter(None, (row.protocol, row.rates, row.setting))),
        ),
        Column(key="rates", get=lambda row: row.rates),
        Column(key="setting", get=lambda row: row.setting),
        Column(
            key="source",
            title="source",
            numeric=False,
            get=lambda row: row.source,
            label=lambda row: "; ".join(filter(None, (row.source, row.also))),
        ),
        Column(key="also", get=lambda row: row.also),
        Column(key="note", get=lambda row: "; ".join(filter(None, (row.remark, row.note)))),
    ]


def _published_score(score: Score) -> Column[Published]:
    return Column(
        key=score.key,
        title=score.title,
        better="higher",
        kept=score.key == "R1",
        get=lambda row: row.scores.get(score.key),
        text=as_printed,
        footnotes=("Published scores in per cent, as the source prints them.",),
    )
