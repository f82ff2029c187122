"""Verification: the share of true pairs that is accepted (TPR) when few false pairs may be (FPR).

A pair is accepted if its distance is at most a threshold. TPR at FPR f is the largest TPR of all thresholds at which at
most ``f`` of the false pairs are accepted; nothing is interpolated. The best thresholds are distances of true pairs, so
it is enough to know, for each of these, how many false pairs are at most as far.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray


def allowed_false_pairs(fpr: float, false_pairs: int) -> int:
    """How many false pairs may be accepted at most.

    The share is meant as its shortest decimal, as 1e-3 of 1,000 pairs is one pair.

    Example:
        >>> allowed_false_pairs(1e-3, 1000)
        1
    """
    return math.floor(Fraction(str(float(fpr))) * false_pairs)


def true_positive_rate(accepted: NDArray[np.int64], allowed: int) -> float:
    """Share of true pairs that the best threshold accepts.

    Args:
        accepted: i64[P], rising: false pairs at most as far as each true pair.
        allowed: false pairs that may be accepted.

    Example:
        >>> true_positive_rate(np.array([0, 0, 2, 9]), 2)
        0.75
    """
    return int(np.searchsorted(accepted, allowed, side="right")) / len(accepted)
