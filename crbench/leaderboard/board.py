"""The records of a leaderboard: a board has blocks, a block has rows."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from crbench.leaderboard.published import Published
from crbench.leaderboard.scores import Score, Spread
from crbench.leaderboard.speeds import Speed, columns_of
from crbench.results import Result


@attrs.frozen(kw_only=True)
class View:
    """What of a board is shown, in every format.

    Attributes:
        per_rate: R1 of the queries of each down-sampling rate too.
        timings: what runs took too, though nothing checked how busy the machine was.
        published: numbers that papers print, apart.
    """

    per_rate: bool = False
    timings: bool = False
    published: tuple[Published, ...] = ()


@attrs.frozen(kw_only=True)
class Row:
    """One measured method.

    Attributes:
        rank: place in its block, from 1; None = not ranked.
        backbone, aligner: labels, distinct within the block, free of control characters.
        baseline: the aligner changes nothing.
        scores: by `Score.key`; R1 of all queries and of each rate is always among them.
        gain: Rank-1 minus that of the baseline with the same backbone, weights and extraction, as a fraction; None
            where there is no such baseline, and for the baseline itself.
        fit_s: seconds of one fit, as the run took them; None = not measured.
        samples_per_s: throughput of the fitted aligner in the run; None = not measured.
        marks: ``best`` or ``second`` by `Score.key`.
        speeds: what ``crbench bench`` measured of the same method, at most one per `Speed.key`.
    """

    result: Result
    backbone: str
    aligner: str
    scores: Mapping[str, Spread]
    rank: int | None = None
    baseline: bool = False
    gain: Spread | None = None
    fit_s: float | None = None
    samples_per_s: float | None = None
    marks: Mapping[str, str] = attrs.field(factory=dict)
    speeds: tuple[Speed, ...] = ()


@attrs.frozen(kw_only=True)
class Block:
    """Rows that were evaluated alike; `ranked` unless they cover a part of the protocol only.

    `trials` and `versions` (of crbench) are those that occur, `date` is the day of the newest result.
    """

    dataset: str
    protocol: str
    rules: str
    fingerprint: str
    rate_source: str
    ranked: bool
    trials: tuple[int, ...]
    versions: tuple[str, ...]
    date: str
    rows: tuple[Row, ...]

    def speeds(self) -> list[Speed]:
        """One speed for each column of speeds that any row has, in the order of the columns."""
        return columns_of(speed for row in self.rows for speed in row.speeds)


@attrs.frozen(kw_only=True)
class Board:
    """All that a leaderboard shows of measured results.

    Attributes:
        scores: those that any row has, in order.
        superseded: number of older results of a cell, left out.
        machines: those of all speeds, sorted.
        unused: one line for each benchmark that no row shows.
    """

    blocks: tuple[Block, ...]
    partial: tuple[Block, ...]
    failed: tuple[Result, ...]
    scores: tuple[Score, ...] = ()
    superseded: int = 0
    machines: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    def scores_shown(self, view: View) -> list[Score]:
        """The scores of all queries, and those at each rate where the view has them."""
        return [score for score in self.scores if view.per_rate or score.rate is None]

    def speeds(self) -> list[Speed]:
        """One speed for each column of speeds that any block has, in the order of the columns."""
        return columns_of(speed for block in (*self.blocks, *self.partial) for speed in block.speeds())
