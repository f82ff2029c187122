"""CMC curves: how long they are, which of their ranks stand for them, and how ranks of matches give them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CURVE_LENGTH = 50
"""Entries of a CMC curve unless more are asked for, whatever is shown of it: few questions need a second run."""

SUMMARY_RANKS = (1, 5, 10, 20)
"""Ranks at which a curve is summed up, as papers do."""


def match_curve(ranks: NDArray[np.int64], starts: NDArray[np.int64], length: int = CURVE_LENGTH) -> NDArray[np.float64]:
    """The curve of each query where all gallery images are shown: f64[q, length].

    Entry k - 1 is 1 where a positive is among the k nearest, else 0; NaN without positives. The mean over the queries
    is the cumulative matching characteristic; its entry k - 1 is Rank-k. The curve may go beyond the gallery.

    Args:
        ranks, starts: see `crbench.metrics`.

    Example:
        >>> match_curve(np.array([2, 5]), np.array([0, 2]))[0, :3].tolist()
        [0.0, 1.0, 1.0]
    """
    matched = np.diff(starts) > 0
    curve = np.full((len(matched), length), np.nan)
    curve[matched] = ranks[starts[:-1][matched]][:, None] <= np.arange(1, length + 1)
    return curve
