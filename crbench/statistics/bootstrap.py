"""Intervals of scores: people are drawn anew, with all their queries in all trials.

Queries of a person are alike, and ten trials over the same people are no ten samples. So a replicate draws as many
people as there are, with replacement, once for all trials; its score is the mean over trials, as the printed score is.

The percentile interval of few people is too narrow. So its percentages are those that a t interval has in the place of
a normal one (the expanded percentile interval, Hesterberg, "What Teachers Should Know About the Bootstrap", The
American Statistician 2015). Where people have unequal numbers of queries, their effective number (Kish) counts.

Where every query of every person has the same extreme score (0 or 1), replicates do not vary. If the expected score of
a person is m, the probability that all n have score 1 is at most ``m**n``; the interval ends where that is half of what
the level leaves (as in Clopper and Pearson, Biometrika 1934).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from crbench.errors import DataError
from crbench.results import Interval, Intervals, Result
from crbench.results.labels import clean
from crbench.statistics.draws import REPLICATES, drawn_weights
from crbench.statistics.identities import IdentitySums, identities
from crbench.statistics.queries import TrialQueries, numbers_of, read_queries

METHOD = "expanded percentile bootstrap of identities"
LEVEL = 0.95

_DIGITS = 6
"""Significant digits of stored ends: far finer than the draws tell, and the same on every machine."""

_ROUNDING = 1e-5


def intervals(
    trials: Sequence[TrialQueries],
    *,
    numbers: Collection[str] = (),
    level: float = LEVEL,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Intervals | None:
    """The interval of every score of some trials, and of the queries of each rate.

    The result depends on neither the order of trials and queries, nor on how trials were joined.

    Args:
        trials: each index once.
        numbers: scores that are no fractions in [0, 1].

    Returns:
        None for a single person, of whom nothing tells how people differ. A rate with a single person, or a score that
        not every trial has, is left out.
    """
    pids = identities(trials)
    if len(pids) < 2:
        return None
    trials = sorted(trials, key=lambda trial: trial.index)
    names = [name for name in trials[0].values if all(name in trial.values for trial in trials)]
    rates = sorted({rate for trial in trials for rate in trial.rates.tolist()}, key=float)
    parts = [trials, *([trial.at_rate(rate) for trial in trials] for rate in rates)]
    sums = [IdentitySums.of(part, names, pids) for part in parts]
    drawn = [[part.scores(weights) for part in sums] for weights in drawn_weights(pids, seed, replicates)]
    replicated = [np.concatenate(blocks) for blocks in zip(*drawn, strict=True)]
    found = [
        _of_scores(part, scores, names, numbers, level) if (part.counts.sum(axis=1) > 0).sum() > 1 else {}
        for part, scores in zip(sums, replicated, strict=True)
    ]
    return Intervals(
        method=METHOD,
        level=level,
        replicates=replicates,
        seed=seed,
        identities=len(pids),
        metrics=found[0],
        by_rate={rate: own for rate, own in zip(rates, found[1:], strict=True) if own},
    )


def check_intervals(result: Result) -> None:
    """Refuse a result whose intervals do not follow from its outcomes; one without intervals has nothing to check.

    Raises:
        DataError: such an interval, or a method that is not known; or see `crbench.statistics.read_queries`.
        ConfigError: a score whose plugin is not installed.
    """
    stated = result.intervals
    if stated is None:
        return
    if stated.method != METHOD:
        raise DataError(f"{result.origin}: intervals by an unknown method ({clean(stated.method)}); known: {METHOD}")
    own = intervals(
        read_queries(result),
        numbers=numbers_of(result.metric_facts),
        level=stated.level,
        replicates=stated.replicates,
        seed=stated.seed,
    )
    if own is None or stated.identities != own.identities or not _agree(stated, own):
        raise DataError(f"{result.origin}: its intervals do not follow from its outcomes; run the cell again")


def _agree(stated: Intervals, own: Intervals) -> bool:
    """Whether the ends are the same but for their last digits, which sums in another order may move."""
    first, second = (
        {(rate, name): one for rate, part in {"": side.metrics, **side.by_rate}.items() for name, one in part.items()}
        for side in (stated, own)
    )
    return first.keys() == second.keys() and all(
        math.isclose(end, other, rel_tol=_ROUNDING, abs_tol=_ROUNDING)
        for key, one in first.items()
        for end, other in ((one.low, second[key].low), (one.high, second[key].high))
    )


def _of_scores(
    sums: IdentitySums, replicates: NDArray[np.float64], names: Sequence[str], numbers: Collection[str], level: float
) -> dict[str, Interval]:
    ends = percentile_interval(replicates, sums.effective, level)
    means = sums.scores(np.ones((1, len(sums.counts))))[0]
    found = {}
    for name, mean, low, high in zip(names, means.tolist(), *ends.tolist(), strict=True):
        if name not in numbers and low == high and mean in (0.0, 1.0):
            low, high = extreme_interval(mean, sums.effective, level)
        found[name] = Interval(_rounded(low), _rounded(high))
    return found


def percentile_interval(replicates: NDArray[np.float64], effective: float, level: float) -> NDArray[np.float64]:
    """f64[2, k], the ends of the expanded percentile interval of f64[r, k]; replicates that are NaN are left out.

    Args:
        effective: number of people that the replicates tell of, see `IdentitySums.effective`.
    """
    tail = expanded_tail(effective, level)
    drawn = replicates[~np.isnan(replicates).any(axis=1)]
    found: NDArray[np.float64] = np.quantile(drawn, [tail, 1 - tail], axis=0)
    return found


def expanded_tail(effective: float, level: float) -> float:
    """The share of replicates beyond each end of an interval.

    Example:
        >>> [round(expanded_tail(people, 0.95), 4) for people in (5, 10, 50, 1000)]
        [0.001, 0.0086, 0.0212, 0.0248]
    """
    from scipy import special  # takes as long to import as a small table to print

    freedom = degrees_of_freedom(effective)
    quantile = special.stdtrit(freedom, (1 + level) / 2)
    return float(special.ndtr(-np.sqrt(1 + 1 / freedom) * quantile))


def degrees_of_freedom(effective: float) -> float:
    """Of people whose effective number may be 1, as one of them has nearly all queries."""
    return max(effective - 1, 1e-6)


def extreme_interval(mean: float, effective: float, level: float) -> tuple[float, float]:
    """The interval where all people have the score 0, or all have 1.

    Example:
        >>> low, high = extreme_interval(1.0, 50, 0.95)
        >>> round(low, 3), high
        (0.929, 1.0)
    """
    width = 1 - ((1 - level) / 2) ** (1 / effective)
    return (1 - width, 1.0) if mean else (0.0, width)


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
