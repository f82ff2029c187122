"""Which queries several rows share: the same image at the same rate in the same trial."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.errors import ComparisonError, DataError
from crbench.results.labels import clean
from crbench.statistics.queries import TrialQueries

_HASHED = re.compile(r"[0-9a-f]{16}")


def aligned(rows: Sequence[Sequence[TrialQueries]]) -> list[list[TrialQueries]]:
    """The queries that all rows have, in one order: trials by index, queries by key and rate.

    Where some rows name images by hashes (``--hash-keys``), so do all others.

    Raises:
        ComparisonError: they share no trial or no query, or disagree on person or camera of a query.
        DataError: a query occurs twice in a trial.

    Example:
        >>> # rows = [read_queries(result) for result in results]
        >>> # differences(aligned(rows), "R1").p
    """
    shared = set.intersection(*({trial.index for trial in row} for row in rows))
    if not shared:
        raise ComparisonError("they share no trial; compare results that have one in common")
    by_index = [{trial.index: trial for trial in row} for row in rows]
    found = [_matched([trials[index] for trials in by_index]) for index in sorted(shared)]
    kept = [trials for trials in found if len(trials[0].pids)]
    if not kept:
        raise ComparisonError("they share no query that counts; compare results over the same data")
    return [list(row) for row in zip(*kept, strict=True)]


def averaged(trainings: Sequence[Sequence[TrialQueries]]) -> list[TrialQueries]:
    """The trials of a row that was trained several times: each query has the mean of its scores over the trainings.

    Scores that not every training has are left out.

    Raises:
        ComparisonError, DataError: see `aligned`.
    """
    if len(trainings) == 1:
        return list(trainings[0])
    return [_mean(versions) for versions in zip(*aligned(trainings), strict=True)]


def _mean(versions: Sequence[TrialQueries]) -> TrialQueries:
    names = [name for name in versions[0].values if all(name in one.values for one in versions)]
    values = {name: np.mean([one.values[name] for one in versions], axis=0) for name in names}
    return attrs.evolve(versions[0], values=values)


def _matched(trials: Sequence[TrialQueries]) -> list[TrialQueries]:
    """The queries that all versions of one trial have."""
    hashed = [bool(len(trial.keys)) and all(map(_HASHED.fullmatch, trial.keys.tolist())) for trial in trials]
    if any(hashed):
        trials = [trial if done else trial.hashed() for trial, done in zip(trials, hashed, strict=True)]
    first, own = trials[0], _names(trials[0])
    # rows of a table mostly list the same queries in the same order, and texts take long to compare
    names = [own if _lists_alike(trial, first) else _names(trial) for trial in trials]
    lists = {id(some): some for some in names}
    common = functools.reduce(functools.partial(np.intersect1d, assume_unique=True), lists.values())
    places = {key: _places(some, common) for key, some in lists.items()}
    found = [trial.take(places[id(some)]) for trial, some in zip(trials, names, strict=True)]
    for trial in found[1:]:
        for word, column, other in (
            ("person", found[0].pids, trial.pids),
            ("camera", found[0].camids, trial.camids),
        ):
            for row in np.flatnonzero(column != other)[:1]:
                raise ComparisonError(
                    f"trial {trial.index}: query {clean(str(trial.keys[row]))} has {word} {column[row]} in one and "
                    f"{other[row]} in the other; compare results over the same data"
                )
    return found


def _lists_alike(one: TrialQueries, other: TrialQueries) -> bool:
    return np.array_equal(one.keys, other.keys) and np.array_equal(one.rates, other.rates)


def _places(names: NDArray[np.str_], common: NDArray[np.str_]) -> NDArray[np.intp]:
    """intp[b], where the names are that all have, in their alphabetical order."""
    order = np.argsort(names)
    return order[np.isin(names[order], common, assume_unique=True)]


def _names(trial: TrialQueries) -> NDArray[np.str_]:
    names = np.array([f"{key}\0{rate}" for key, rate in zip(trial.keys.tolist(), trial.rates.tolist(), strict=True)])
    values, counts = np.unique(names, return_counts=True)
    if (counts > 1).any():
        key, _, rate = str(values[counts > 1][0]).partition("\0")
        raise DataError(
            f"trial {trial.index}: query {clean(key)} at rate {rate} occurs twice; its outcomes cannot be paired"
        )
    return names
