"""Places, marks and gains of the rows of one table; see `crbench.leaderboard.build` for the order."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import attrs

from crbench.leaderboard.board import Block, Row
from crbench.leaderboard.joined import Joined
from crbench.leaderboard.scores import Score, spread_of
from crbench.results.labels import clean


def without_unfounded(block: Block, unfounded: Collection[int], scores: Sequence[Score]) -> Block:
    """A block ranked anew without places for some rows, and without gains over them.

    Args:
        unfounded: `id` of the first training of each row whose scores do not follow from its outcomes.
    """
    if not unfounded:
        return block
    rows = [_doubted(row) if id(row.joined) in unfounded else row for row in block.rows]
    taken = {id(one) for row in rows if row.unfounded for one in row.trainings}
    rows = [_without_gain(row) if any(id(one) in taken for one in row.over) else row for row in rows]
    return attrs.evolve(block, rows=tuple(ranked(rows, scores)), notes=tuple(sanity_warnings(rows)))


def _doubted(row: Row) -> Row:
    return attrs.evolve(_without_gain(row), unfounded=True, rank=None, marks={})


def _without_gain(row: Row) -> Row:
    return attrs.evolve(row, gain=None, over=(), gap=None)


def with_gains(rows: Sequence[Row]) -> list[Row]:
    """Rows with their gain over the baseline; doubtful rows have none, and none is over them."""
    sure = [row for row in rows if not row.doubtful]
    baselines = {one.features: one for row in sure if row.baseline for one in row.trainings}
    return [row if row.baseline or row.doubtful else _with_gain(row, baselines) for row in rows]


def ranked(rows: Sequence[Row], scores: Sequence[Score]) -> list[Row]:
    """Rows in order of their places, with marks; rows of equal place keep their order, doubtful ones come last."""
    sure = [row for row in rows if not row.doubtful]
    places = [tuple(_printed(row, Score(name)) or 0.0 for name in ("R1", "mAP")) for row in sure]
    first = {place: 1 + sum(other > place for other in places) for place in set(places)}
    placed = [
        attrs.evolve(row, rank=first[place], marks=marks)
        for row, place, marks in zip(sure, places, _marks(sure, scores), strict=True)
    ]
    return [*sorted(placed, key=lambda row: row.rank or 0), *(row for row in rows if row.doubtful)]


def sanity_warnings(rows: Sequence[Row]) -> Iterator[str]:
    """A warning for each sanity row that does not come last."""
    score = Score("R1")
    sane = [row for row in rows if not row.sanity and not row.doubtful]
    for check in (row for row in rows if row.sanity):
        limit = _printed(check, score) or 0.0
        below = [f"{row.backbone} + {row.aligner}" for row in sane if (_printed(row, score) or 0.0) <= limit]
        if below:
            more = f" and {len(below) - 3} more" if below[3:] else ""
            yield clean(
                f"warning: {check.backbone} looks at nobody, and these rows are not above it, so look at their "
                f"features and rates: {'; '.join(below[:3])}{more}"
            )


def _printed(row: Row, score: Score) -> float | None:
    value = row.scores.get(score.key)
    return None if value is None else score.printed(value.mean)


def _marks(rows: Sequence[Row], scores: Sequence[Score]) -> list[dict[str, str]]:
    """For each row, its scores that are the best or second best of their column, as printed; none where all agree."""
    marks: list[dict[str, str]] = [{} for _ in rows]
    for score in scores:
        values = [_printed(row, score) for row in rows]
        order = sorted({value for value in values if value is not None}, reverse=not score.lower_is_better)
        leaders = dict(zip(order, ("best", "second"), strict=False)) if len(order) > 1 else {}
        for own, value in zip(marks, values, strict=True):
            if value in leaders:
                own[score.key] = leaders[value]
    return marks


def _with_gain(row: Row, baselines: Mapping[tuple[object, ...], Joined]) -> Row:
    """A row with Rank-1 over that of the baseline with the features of each training, trial by trial."""
    found = [baselines.get(own.features or (None,)) for own in row.trainings]
    over = tuple(one for one in found if one is not None)
    if len(over) < len(row.trainings):
        return row
    pairs = zip(row.trainings, over, strict=True)
    return attrs.evolve(row, gain=spread_of([_differences(own, other) for own, other in pairs]), over=over)


def _differences(one: Joined, other: Joined) -> list[float]:
    """Both have the trials of the block."""
    return [mine.cmc[0] - trial.cmc[0] for mine, trial in zip(one.trials, other.trials, strict=True)]
