"""How the first rows of a table differ from each other: each row minus each other one, over the same people."""

from __future__ import annotations

import attrs

from crbench.leaderboard.board import Block, Pair
from crbench.leaderboard.formats import per_cent, probability, signed
from crbench.leaderboard.paired import labels_of
from crbench.leaderboard.scores import Spread
from crbench.report.series import Series, chosen

SHOWN = 8
"""Rows that are compared with each other; a page holds their pairs, and a screen shows them."""

_SURE = 0.05


@attrs.frozen
class Difference:
    """One cell.

    Attributes:
        text, interval: the difference in points of Rank-1 and its ends.
        kind: ``better`` or ``worse`` where the data tell the two apart, else ``like``.
        p: after Holm's correction, in words.
    """

    text: str
    interval: str
    kind: str
    p: str


@attrs.frozen
class Matrix:
    """Rows minus columns, in the same order; None on the diagonal.

    Attributes:
        rows: the methods.
        cells: for each of them the difference from each other one.
        pairs: how many pairs of the table were corrected for.
        trained_often: some rows have several trainings.
    """

    rows: tuple[Series, ...]
    cells: tuple[tuple[Difference | None, ...], ...]
    pairs: int
    trained_often: bool


def matrix(block: Block, count: int = SHOWN) -> Matrix | None:
    """The differences of the first rows of a table and its best baseline; None where they were not compared.

    Args:
        count: rows at most.
    """
    compared = [row for row in block.rows if row.places is not None]
    labels = dict(zip(map(id, compared), labels_of(compared), strict=True))
    rows = tuple(one for one in chosen(block, count) if id(one.row) in labels)
    known = {(pair.first, pair.second): pair for pair in block.pairs}
    if len(rows) < 2:
        return None

    def cell(one: Series, other: Series) -> Difference | None:
        own, others = labels[id(one.row)], labels[id(other.row)]
        if (own, others) in known:
            return _difference(known[own, others], 1)
        return _difference(known[others, own], -1) if (others, own) in known else None

    cells = tuple(tuple(cell(one, other) for other in rows) for one in rows)
    return Matrix(
        rows=rows, cells=cells, pairs=len(block.pairs), trained_often=any(len(one.row.trainings) > 1 for one in rows)
    )


def _difference(pair: Pair, sign: int) -> Difference:
    value = pair.difference
    if sign < 0:
        ends = None if value.low is None or value.high is None else (-value.high, -value.low)
        value = Spread(-value.mean, None, *(ends or ()))
    sure = pair.p_holm <= _SURE
    return Difference(
        text=signed(value.mean),
        interval="" if value.low is None or value.high is None else f"[{per_cent(value.low)}, {per_cent(value.high)}]",
        kind=("better" if value.mean > 0 else "worse") if sure else "like",
        p=f"p {probability(pair.p_holm)}",
    )
