"""Inverse negative penalty."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def inverse_negative_penalty(
    ranks: NDArray[np.int64], starts: NDArray[np.int64], candidates: NDArray[np.int64]
) -> NDArray[np.float64]:
    """f64[q] in [0, 1], ``P / r_P`` with the rank r_P of the last of P positives; NaN without. Its mean is mINP.

    Ye et al., "Deep Learning for Person Re-Identification: A Survey and Outlook", TPAMI 2021. It is small where
    one positive is hard to find; with a single positive it equals the average precision.

    Args:
        ranks, starts, candidates: see `crbench.metrics`.

    Example:
        >>> inverse_negative_penalty(np.array([1, 4]), np.array([0, 2]), np.array([9])).tolist()
        [0.5]
    """
    sizes = np.diff(starts)
    matched = sizes > 0
    penalty = np.full(len(sizes), np.nan)
    penalty[matched] = sizes[matched] / ranks[starts[1:][matched] - 1]
    return penalty
