"""Normalised discounted cumulative gain with binary relevance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crbench.metrics.queries import found, sums


def normalised_gain(
    ranks: NDArray[np.int64], starts: NDArray[np.int64], candidates: NDArray[np.int64]
) -> NDArray[np.float64]:
    """f64[q] in [0, 1], the nDCG of each query over the whole list; NaN without positives.

    ``DCG / ideal DCG`` with ``DCG = sum over positives of 1 / log2(1 + r_i)``; the ideal list has all P positives in
    places 1 to P. Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002, with the
    discount of Burges et al., ICML 2005. Relevance is binary: same person or not. The list is not cut at a rank.

    Args:
        ranks, starts, candidates: see `crbench.metrics`.

    Example:
        >>> normalised_gain(np.array([1, 3]), np.array([0, 2]), np.array([9])).round(4).tolist()
        [0.9197]
    """
    gained, ideal = sums(1 / np.log2(1.0 + ranks), starts), sums(1 / np.log2(1.0 + found(starts)), starts)
    share: NDArray[np.float64] = np.divide(gained, ideal, out=np.full(len(gained), np.nan), where=np.diff(starts) > 0)
    return share
