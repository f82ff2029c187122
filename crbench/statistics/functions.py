"""Intervals of any number that depends on how often each person is there: people are drawn anew, as for scores."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from crbench.statistics.bootstrap import LEVEL, percentile_interval
from crbench.statistics.draws import REPLICATES, drawn_weights


def interval_over_people(
    pids: NDArray[np.int64],
    function: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    *,
    shares: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """The ends f64[2, k] of the intervals of k numbers.

    NaN for a single person, of whom nothing tells how people differ, and where no replicate has a number.

    Args:
        pids: i64[n], people, ascending.
        function: the numbers f64[b, k] if person i were there ``weights[:, i]`` times, for weights f64[b, n].
            Replicates with a NaN are left out.
        shares: f64[n], how much each person weighs; None = all alike. See `crbench.statistics.bootstrap`.

    Example:
        >>> heights = np.array([1.6, 1.7, 1.8, 1.9])
        >>> low, high = interval_over_people(np.arange(4), lambda w: (w @ heights / w.sum(axis=1))[:, None])
        >>> bool(low[0] < 1.75 < high[0])
        True
    """
    weighed = np.ones(len(pids)) if shares is None else shares
    count = function(np.ones((1, len(pids)))).shape[1]
    if len(pids) < 2:
        return np.full((2, count), np.nan)
    replicated = np.concatenate([function(weights) for weights in drawn_weights(pids, 0, REPLICATES)])
    if np.isnan(replicated).any(axis=1).all():
        return np.full((2, count), np.nan)
    effective = float(weighed.sum() ** 2 / (weighed**2).sum())
    return percentile_interval(replicated, effective, LEVEL)
