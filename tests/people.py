"""Trials over people, made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from crbench.statistics import TrialQueries


def trial(
    pids: Sequence[int],
    values: Mapping[str, Sequence[float]] | Sequence[float],
    *,
    index: int = 0,
    rates: Sequence[str] | None = None,
    matched: Sequence[bool] | None = None,
) -> TrialQueries:
    """A trial of one query per entry; values are those of R1, or by score. A query's key is its place."""
    count = len(pids)
    scores = values if isinstance(values, Mapping) else {"R1": values}
    return TrialQueries(
        index=index,
        keys=np.array([f"{place:04d}" for place in range(count)]),
        pids=np.array(pids, dtype=np.int64),
        camids=np.zeros(count, dtype=np.int64),
        rates=np.array(["2"] * count if rates is None else list(rates)),
        matched=np.array([True] * count if matched is None else list(matched)),
        values={name: np.array(column, dtype=np.float64) for name, column in scores.items()},
    )


def shuffled(one: TrialQueries, rng: np.random.Generator) -> TrialQueries:
    """The same trial with its queries in another order."""
    return one.take(rng.permutation(len(one.pids)))


def random_trials(
    rng: np.random.Generator, *, people: int, trials: int, rates: Sequence[str] = ("2", "3", "4")
) -> list[TrialQueries]:
    """Trials that show some of the people each, each a few times; Rank-1 is 0 or 1, mAP between."""
    found = []
    for index in range(trials):
        shown = rng.choice(people, size=max(2, 3 * people // 4), replace=False)
        pids = np.repeat(shown, rng.integers(1, 5, len(shown)))
        values = {"R1": rng.integers(0, 2, len(pids)), "mAP": rng.random(len(pids))}
        found.append(trial(pids, values, index=index, rates=rng.choice(rates, len(pids))))
    return found
