"""What the page shows of each table of the leaderboard: its best rows, figures, the table itself, rows to open."""

from __future__ import annotations

import attrs

from crbench.leaderboard.board import Block, Board, Row, View, trial_list
from crbench.leaderboard.formats import per_cent
from crbench.leaderboard.scores import Spread
from crbench.leaderboard.tables import Table, block_table
from crbench.report.differences import SHOWN, Matrix, matrix
from crbench.report.figures import Drawn, by_rate, can_draw, cmc, costs
from crbench.report.grid import Grid, grid_of
from crbench.report.series import Series, chosen, rates
from crbench.report.strips import Request, Strips, strips
from crbench.report.words import measured, rules_id
from crbench.results.labels import clean


@attrs.frozen
class Place:
    """One of the best rows.

    Attributes:
        series: the row and its style in figures.
        places: those that it may have, or its place where rows were not compared.
        score, spread: its Rank-1 and how far it may be off, in words.
        between: how many trainings there are and how far they are apart, in words; empty for a single one.
        low, middle, high: where interval and score lie between the ends of the scale, in per cent of its length.
    """

    series: Series
    places: str
    score: str
    spread: str
    between: str
    low: float
    middle: float
    high: float


@attrs.frozen
class Section:
    """One table and what belongs to it.

    Attributes:
        id: distinct on the page, the same in every report on the same data by the same rules.
        block: what was measured.
        words: the task in sentences.
        best: its first rows and the baseline; empty where there are no places.
        rate_figure: Rank-1 by rate.
        one_rate: the rate of all queries, where they have one only.
        figures: CMC curves and costs.
        matrix: differences between its first rows; None where they were not compared.
        strips: images of queries; None where nobody asked for them.
    """

    id: str
    block: Block
    table: Table
    grid: Grid
    words: str
    best: tuple[Place, ...]
    rate_figure: Drawn | None
    one_rate: str | None
    figures: tuple[Drawn, ...]
    matrix: Matrix | None
    strips: Strips | None

    @property
    def title(self) -> str:
        """Data set and protocol."""
        return clean(f"{self.block.title}, protocol {self.block.protocol}")

    @property
    def uncompared(self) -> bool:
        """Whether there are rows to compare, and none of them has kept what became of its queries."""
        results = [result for row in self.block.rows for result in row.results]
        return len(self.best) > 1 and all(result.outcomes is None for result in results)

    @property
    def spread(self) -> str:
        """What stands beside the scores of the best rows, in words."""
        texts = "".join(one.spread for one in self.best)
        beside = "[95 % interval over people]" if texts else "no intervals over people are known"
        compared = any(one.series.row.places is not None for one in self.best)
        shown, rows = len(self.best), len(self.block.rows)
        parts = [f"{shown} of {rows} rows"] if shown < rows else []
        return "; ".join([*parts, beside, *(["left: places that the data allow"] if compared else [])])

    @property
    def trials(self) -> str:
        """Which trials there are."""
        return f"trial{'' if len(self.block.trials) == 1 else 's'} {trial_list(self.block.trials)}"

    @property
    def rules_id(self) -> str:
        """Where its rules stand in words."""
        return rules_id(self.block)


def sections(board: Board, view: View, *, details: bool, request: Request | None = None) -> list[Section]:
    """The sections of a board, ranked tables first; see `crbench.report.page.page` for the arguments."""
    blocks = (*board.blocks, *board.partial)
    return [_section(board, block, view, details=details, request=request) for block in blocks]


def _section(board: Board, block: Block, view: View, *, details: bool, request: Request | None) -> Section:
    id = f"t-{block.fingerprint}-{block.data}"
    table = block_table(board, block, view)
    series = () if block.unranked else chosen(block)
    known = rates(series)
    drawn = bool(series) and can_draw()
    figures = (cmc(series, f"{id}-cmc"), *costs(block, series, f"{id}-cost")) if drawn else ()
    return Section(
        id=id,
        block=block,
        table=table,
        grid=grid_of(table, id=id, opens=details),
        words=measured(block),
        best=_places(series),
        rate_figure=by_rate(series, f"{id}-rate") if drawn else None,
        one_rate=known[0] if len(known) == 1 else None,
        figures=tuple(one for one in figures if one is not None),
        matrix=matrix(block, len(block.rows) if view.pairwise else SHOWN),
        strips=strips(block, request) if request and not block.unranked else None,
    )


def _places(series: tuple[Series, ...]) -> tuple[Place, ...]:
    ends = [_ends(one.row.scores["R1"]) for one in series]
    left, right = min((low for low, _ in ends), default=0.0), max((high for _, high in ends), default=1.0)

    def at(value: float) -> float:
        return round(100 * (value - left) / (right - left), 1) if right > left else 50.0

    def place(one: Series, low: float, high: float) -> Place:
        score, trainings = one.row.scores["R1"], len(one.row.trainings)
        between = "" if score.between is None else f"{trainings} trainings, ± {per_cent(score.between)} between them"
        return Place(
            one, _places_of(one.row), per_cent(score.mean), _spread(score), between, at(low), at(score.mean), at(high)
        )

    return tuple(place(one, *own) for one, own in zip(series, ends, strict=True))


def _places_of(row: Row) -> str:
    places = (row.rank, row.rank) if row.places is None else row.places
    return "-".join(map(str, dict.fromkeys(places)))


def _spread(score: Spread) -> str:
    """The interval of a score in words; empty where it is not known.

    The deviation over trials would be read as one, and is that of the protocol's draws only.
    """
    return "" if score.low is None or score.high is None else f"[{per_cent(score.low)}, {per_cent(score.high)}]"


def _ends(score: Spread) -> tuple[float, float]:
    """The ends of the interval of a score; its value twice where there is none."""
    return (score.mean, score.mean) if score.low is None or score.high is None else (score.low, score.high)
