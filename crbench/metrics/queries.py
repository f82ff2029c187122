"""Values of positives, query by query: how many a query has, and sums over them."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray


def found(starts: NDArray[np.integer]) -> NDArray[np.int64]:
    """i64[P], how many positives of its query are found at each positive: 1, 2, ... within each query.

    Example:
        >>> found(np.array([0, 3, 3, 5])).tolist()
        [1, 2, 3, 1, 2]
    """
    sizes = np.diff(starts)
    return np.arange(1, starts[-1] + 1) - np.repeat(starts[:-1], sizes)


def sums(values: NDArray[np.float64], starts: NDArray[np.integer]) -> NDArray[np.float64]:
    """f64[q], the sum of f64[P] over each query, rounded once (`math.fsum`); 0 for a query without positives."""
    numbers, ends = values.tolist(), starts.tolist()
    return np.array([math.fsum(numbers[start:end]) for start, end in itertools.pairwise(ends)])


def per_positive(totals: NDArray[np.float64], starts: NDArray[np.integer]) -> NDArray[np.float64]:
    """f64[q], totals divided by the number of positives; NaN for a query without positives."""
    sizes = np.diff(starts)
    means: NDArray[np.float64] = np.divide(totals, sizes, out=np.full(len(sizes), np.nan), where=sizes > 0)
    return means
