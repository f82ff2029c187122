"""Rows over the same people: which of them the data tell apart, and which places each may have.

All of it follows from the outcomes of queries, which lie beside results. To read them takes longer than the rest of a
board, and pairs grow with the square of the rows, so long tables go without unless they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import attrs
import numpy as np

from crbench.errors import CrbenchError
from crbench.leaderboard.board import Block, Pair, Row
from crbench.leaderboard.bounds import with_gap
from crbench.leaderboard.ranking import without_unfounded
from crbench.leaderboard.scores import Score, Spread, ends_of
from crbench.results.labels import clean
from crbench.results.outcomes import UnfoundedError
from crbench.statistics import (
    Differences,
    TrialQueries,
    aligned,
    averaged,
    differences,
    intervals,
    numbers_of,
    read_joined,
    recomputable,
)
from crbench.statistics.identities import identities

MOST_ROWS = 100
"""Rows of a table that are compared at all."""

SCORE = "R1"
"""What rows are compared in, as they are ranked by it."""


def with_comparison(block: Block, scores: Sequence[Score]) -> Block:
    """A block whose ranked rows are compared over the people of their queries.

    Rows whose scores do not follow from their outcomes lose their places, and the block says so. Rows without outcomes
    are left out, and the block says so; they may stand anywhere, so the places of the others make room for them.
    """
    ranked = [row for row in block.rows if row.rank is not None]
    if len(ranked) > MOST_ROWS:
        note = f"Rows are not compared, as they are more than {MOST_ROWS}; choose some by --backbone and --aligner."
        return attrs.evolve(block, notes=(*block.notes, note))
    read, unfounded, notes = _read(ranked)
    block = without_unfounded(block, unfounded, scores)
    ranked = [row for row in block.rows if row.rank is not None]
    queries = {id(row): read[id(row.joined)] for row in ranked if id(row.joined) in read}
    rows = {id(row): _with_intervals(row, queries[id(row)]) if id(row) in queries else row for row in ranked}
    order = [row for row in ranked if id(row) in queries]
    try:
        shared = aligned([queries[id(row)] for row in order]) if len(order) > 1 else []
    except CrbenchError as error:
        shared, notes = [], (*notes, clean(f"Rows are not compared: {error}"))
    if shared and len(identities(shared[0])) > 1:
        found = differences(shared, SCORE)
        unknown = [row for row in ranked if id(row) not in queries]
        places = _with_places([rows[id(row)] for row in order], found, unknown)
        rows |= {id(row): new for row, new in zip(order, places, strict=True)}
        block = attrs.evolve(
            block, pairs=tuple(_pairs(order, found)), resolution=found.resolution, people=found.identities
        )
        notes = (*notes, *_lost(queries.values(), shared[0]))
    others = dict(read)
    for row in order:
        own = _over_hidden(rows[id(row)], queries[id(row)], others)
        rows[id(row)] = with_gap(own, queries[id(row)], others, SCORE)
    shown = tuple(rows.get(id(row), row) for row in block.rows)
    return attrs.evolve(block, rows=shown, notes=(*block.notes, *notes))


def _lost(rows: Iterable[Sequence[TrialQueries]], shared: Sequence[TrialQueries]) -> Iterator[str]:
    """A line where rows were asked for queries that not all of them have."""
    kept, most = _asked(shared), max(map(_asked, rows))
    if kept < most:
        yield f"Rows are compared over the {kept:,} queries of all trials that every row has, of up to {most:,}."


def _asked(row: Sequence[TrialQueries]) -> int:
    return sum(len(trial.keys) for trial in row)


def _read(rows: Sequence[Row]) -> tuple[dict[int, list[TrialQueries]], set[int], tuple[str, ...]]:
    """The queries of rows, and the rows whose scores do not follow from them, by `id` of the first training.

    A line for each row that is not compared comes with them.
    """
    queries: dict[int, list[TrialQueries]] = {}
    unfounded, notes = set(), []
    for row in rows:
        try:
            queries[id(row.joined)] = _queries(row)
        except UnfoundedError as error:
            unfounded.add(id(row.joined))
            notes.append(clean(f"conflict, not ranked: {row.backbone} + {row.aligner}: {error}"))
        except CrbenchError as error:
            notes.append(clean(f"not compared with the other rows: {row.backbone} + {row.aligner}: {error}"))
    return queries, unfounded, tuple(notes)


def _queries(row: Row) -> list[TrialQueries]:
    """The queries of each trial, with the mean scores over trainings."""
    metrics = recomputable(row.results)
    return averaged([read_joined(one.results, metrics) for one in row.trainings])


def _with_intervals(row: Row, trials: Sequence[TrialQueries]) -> Row:
    """A row of several results with the intervals of their common trials; a single result states its own."""
    if len(row.results) == 1:
        return row
    ends = ends_of(intervals(trials, numbers=numbers_of(row.result.metric_facts)))
    scores = {
        key: one._replace(low=ends[key][0], high=ends[key][1]) if key in ends else one
        for key, one in row.scores.items()
    }
    return attrs.evolve(row, scores=scores)


def _with_places(rows: Sequence[Row], found: Differences, unknown: Sequence[Row]) -> list[Row]:
    """Rows with the places that they may have, and the intervals of their gains.

    Args:
        unknown: ranked rows that are not compared.
    """
    like_best = _like_best(rows, found, unknown)
    baselines = {_features(row): place for place, row in enumerate(rows) if row.baseline}
    return [
        attrs.evolve(
            row,
            places=(first, last + len(unknown)),
            like_best=alike,
            gain=_gain(row, place, baselines, found),
        )
        for place, (row, (first, last), alike) in enumerate(zip(rows, found.rank_intervals(), like_best, strict=True))
    ]


def _like_best(rows: Sequence[Row], found: Differences, unknown: Sequence[Row]) -> Sequence[bool | None]:
    """For each row, whether it is not told apart from the row of the highest score, which is none of `unknown`."""
    stated = [row.scores[SCORE].mean for row in rows]
    best = int(np.argmax(stated))
    if any(row.scores[SCORE].mean > stated[best] for row in unknown):
        return [None] * len(rows)
    alike = [bool(p > 1 - found.level) for p in found.holm[best]]
    return [*alike[:best], False, *alike[best + 1 :]]


def _features(row: Row) -> frozenset[tuple[object, ...]]:
    return frozenset(one.features for one in row.trainings)


def _gain(
    row: Row, place: int, baselines: Mapping[frozenset[tuple[object, ...]], int], found: Differences
) -> Spread | None:
    """The gain of a row with its interval, where the trainings of the baseline are those of the row."""
    base = baselines.get(_features(row))
    if row.gain is None or base is None:
        return row.gain
    return row.gain._replace(low=float(found.low[place, base]), high=float(found.high[place, base]))


def _over_hidden(row: Row, trials: Sequence[TrialQueries], read: dict[int, list[TrialQueries]]) -> Row:
    """A row with the interval of its gain over a baseline that is no row, as the reader chose others.

    Args:
        read: the queries of such baselines, by `id` of their first training; what is missing is added.
    """
    if row.gain is None or row.gain.low is not None:
        return row
    key = id(row.over[0])
    try:
        if key not in read:
            read[key] = averaged([read_joined(one.results, ()) for one in row.over])
        found = differences(aligned([trials, read[key]]), SCORE, permutations=1)
    except UnfoundedError:
        return attrs.evolve(row, gain=None, over=())
    except CrbenchError:
        return row
    return attrs.evolve(row, gain=row.gain._replace(low=float(found.low[0, 1]), high=float(found.high[0, 1])))


def labels_of(rows: Sequence[Row]) -> list[str]:
    """What pairs call the rows that were compared: by their aligners, if all have the same backbone."""
    short = len({row.backbone for row in rows}) == 1
    return [row.aligner if short else f"{row.backbone} + {row.aligner}" for row in rows]


def _pairs(rows: Sequence[Row], found: Differences) -> Iterator[Pair]:
    """Every pair of rows, in order of their places."""
    holm = found.holm
    labels = labels_of(rows)
    for first in range(len(rows)):
        for second in range(first + 1, len(rows)):
            at = first, second
            yield Pair(
                first=labels[first],
                second=labels[second],
                difference=Spread(float(found.difference[at]), low=float(found.low[at]), high=float(found.high[at])),
                p=float(found.p[at]),
                p_holm=float(holm[at]),
            )
