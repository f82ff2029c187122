"""Whether two results say the same of one trial, and what each knows beside the other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import attrs

from crbench.results import RateScores, TrialScores


def agree(one: TrialScores, other: TrialScores) -> bool:
    """Whether two results of a trial say the same; a score that only one of them has does not count."""
    facts = [(trial.skipped, trial.n_gallery, trial.n_persons, trial.by_rate.keys()) for trial in (one, other)]
    return facts[0] == facts[1] and first_difference(one, other) is None


def first_difference(one: TrialScores, other: TrialScores) -> tuple[str, float, float] | None:
    """The first number in which two results of a trial differ: its name and both values."""
    return next(filter(None, (_difference(*parts) for parts in _parts(one, other))), None)


def _parts(one: TrialScores, other: TrialScores) -> Iterator[tuple[RateScores, RateScores]]:
    yield one, other
    yield from ((one.by_rate[rate], other.by_rate[rate]) for rate in one.by_rate if rate in other.by_rate)


def _difference(one: RateScores, other: RateScores) -> tuple[str, float, float] | None:
    """The first number in which scores of the same queries differ: its name and both values."""
    curves = enumerate(zip(one.cmc, other.cmc, strict=False), start=1)
    shared = ((name, value, other.scores[name]) for name, value in one.scores.items() if name in other.scores)
    values = chain(
        [("n_query", one.n_query, other.n_query), ("n_valid", one.n_valid, other.n_valid)],
        ((f"R{rank}", *pair) for rank, pair in curves),
        shared,
    )
    return next((item for item in values if item[1] != item[2]), None)


def united(one: TrialScores, other: TrialScores) -> TrialScores:
    """One trial with the scores that either has."""
    if one.scores.keys() >= other.scores.keys():
        return one
    by_rate = {
        rate: attrs.evolve(part, scores={**part.scores, **other.by_rate[rate].scores})
        for rate, part in one.by_rate.items()
    }
    return attrs.evolve(one, scores={**one.scores, **other.scores}, by_rate=by_rate)
