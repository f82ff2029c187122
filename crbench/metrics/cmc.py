"""CMC curves where all gallery images are shown."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def match_curve(ranks: NDArray[np.int64], starts: NDArray[np.int64], length: int) -> NDArray[np.float64]:
    """f64[q, length]: entry k - 1 is 1 where a positive is among the k nearest, else 0; NaN without positives.

    The mean over the queries is the cumulative matching characteristic; its entry k - 1 is Rank-k.

    Args:
        ranks, starts: see `crbench.metrics`.
        length: of the curve; it may go beyond the gallery.

    Example:
        >>> match_curve(np.array([2, 5]), np.array([0, 2]), 3).tolist()
        [[0.0, 1.0, 1.0]]
    """
    matched = np.diff(starts) > 0
    curve = np.full((len(matched), length), np.nan)
    curve[matched] = ranks[starts[:-1][matched]][:, None] <= np.arange(1, length + 1)
    return curve
