"""The bound of a row: the aligner ``none`` with the row's features, on the same queries unshrunk.

It is another protocol, so it stands in a table of its own. A row finds it by all that both share: data set with its
code and parameters, rules but for the rates of queries, trials with their images, and what made the features.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import attrs

from crbench.errors import CrbenchError
from crbench.leaderboard.board import Block, Row
from crbench.leaderboard.joined import Joined
from crbench.leaderboard.scores import Spread
from crbench.protocol.hashing import digest
from crbench.protocol.rules import asked_rules
from crbench.results import BASELINE
from crbench.statistics import TrialQueries, averaged, gap_closed, read_joined

_RATES = "query_rates"

Bounds = Mapping[Hashable, Joined]
"""Bounds by what they share with rows."""


def bounds_of(joined: Iterable[Joined]) -> Bounds:
    """The bounds among the rows of all tables."""
    return {_key(one): one for one in joined if _is_bound(one)}


def _is_bound(one: Joined) -> bool:
    known = one.features and not one.disputed
    return bool(known) and one.result.method.aligner.name == BASELINE and not _rules(one).get(_RATES)


def with_bounds(rows: Sequence[Row], bounds: Bounds) -> list[Row]:
    """Rows with the bound of each of their trainings, where all have one."""
    return [row if row.doubtful else _with_bound(row, bounds) for row in rows]


def _with_bound(row: Row, bounds: Bounds) -> Row:
    found = [bounds.get(_key(one)) for one in row.trainings if _rules(one).get(_RATES)]
    known = tuple(one for one in found if one is not None)
    return attrs.evolve(row, bound=known) if len(known) == len(row.trainings) else row


def marked_bounds(blocks: Sequence[Block]) -> list[Block]:
    """The same blocks; those whose rows are bounds of rows of others are marked."""
    used = {id(one) for block in blocks for row in block.rows for one in row.bound}
    return [
        attrs.evolve(block, bound=any(id(one) in used for row in block.rows for one in row.trainings))
        for block in blocks
    ]


def with_gap(row: Row, trials: Sequence[TrialQueries], read: dict[int, list[TrialQueries]], score: str) -> Row:
    """A row with the share of the gap that it closes, where bound, baseline and their outcomes are known.

    Args:
        trials: the queries of the row.
        read: the queries of baselines and bounds, by `id` of their first training; what is missing is added.
    """
    if not (row.over and row.bound):
        return row
    try:
        for trainings in (row.over, row.bound):
            if id(trainings[0]) not in read:
                read[id(trainings[0])] = averaged([read_joined(one.results, ()) for one in trainings])
        found = gap_closed(trials, read[id(row.over[0])], read[id(row.bound[0])], score)
    except CrbenchError:
        return row
    return row if found is None else attrs.evolve(row, gap=Spread(found.share, low=found.low, high=found.high))


def _rules(one: Joined) -> Mapping[str, Any]:
    return one.result.protocol.rules


def _key(one: Joined) -> Hashable:
    result = one.result
    rules = {name: value for name, value in asked_rules(_rules(one)).items() if name != _RATES}
    return (
        result.dataset,
        digest(rules),
        result.limit,
        result.evaluation_version,
        tuple(sorted(result.code.items())),
        json.dumps(result.data.parameters, sort_keys=True),
        tuple((trial.index, trial.data) for trial in one.trials),
        one.features,
    )
