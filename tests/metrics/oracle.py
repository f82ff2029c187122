"""The formulas as they were before metrics were functions over all queries: one query at a time, the same bits."""

from __future__ import annotations

import math

import numpy as np


def precisions(hits, found, rule):
    """What each positive adds to the AP: its rank, and how many positives it completes."""
    precision = found / hits
    if rule == "trapezoid":
        before = np.divide(found - 1, hits - 1, out=np.ones(len(hits)), where=hits > 1)
        precision = (before + precision) / 2
    return precision


def average_precision(hits, rule):
    """AP of one query from the ranks of its positives, ascending from 1."""
    return math.fsum(precisions(hits, np.arange(1, len(hits) + 1), rule).tolist()) / len(hits)


def inverse_negative_penalty(hits):
    """INP of one query."""
    return len(hits) / hits[-1]


def curve(hits, length):
    """CMC of one query."""
    return (hits[0] <= np.arange(1, length + 1)).astype(float)


def gain(hits, candidates):
    """nDCG of one query from its whole list of zeros and ones, best first."""
    relevant = np.zeros(candidates)
    relevant[np.asarray(hits) - 1] = 1
    discounts = [1 / math.log2(place + 2) for place in range(candidates)]
    ideal = sorted(relevant, reverse=True)
    return np.dot(relevant, discounts) / np.dot(ideal, discounts)
