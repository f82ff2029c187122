"""Which distance means "the same person", by the rate of the query, at a share of false pairs that may be accepted.

A pair is accepted that is nearer than the threshold. It is the distance of the nearest false pair that must not be
accepted, so that as many true pairs are as can be (`crbench.metrics.roc`).
"""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.analysis.distances import RatePairs
from crbench.analysis.offsets import Estimate
from crbench.metrics.roc import allowed_false_pairs
from crbench.statistics import interval_over_people

SPARE = 3.0
"""So many times as many false pairs as are accepted are looked at, as other people have other thresholds."""

_GRID = 1024
"""Thresholds that are tried for other people."""


@attrs.frozen
class Accepted:
    """What a threshold accepts.

    Attributes:
        threshold: distance below which a pair is accepted, with the interval that other people would give; none where
            no false pair may be accepted, as the nearest one then decides alone.
        tpr: share of true pairs that it accepts, each time at a threshold of these people's own.
        fpr: share of false pairs that it accepts.
        true, false: number of pairs.
    """

    threshold: Estimate
    tpr: Estimate
    fpr: float
    true: int
    false: int


def accepted(pairs: RatePairs, fpr: float) -> Accepted:
    """The threshold at a share of false pairs, and what it accepts."""
    total = int(pairs.false_counts.sum())
    allowed = allowed_false_pairs(fpr, total)
    threshold = float(pairs.false[allowed]) if allowed < len(pairs.false) else np.inf
    low, high = _intervals(pairs, fpr, allowed) if allowed else ([np.nan] * 2, [np.nan] * 2)
    return Accepted(
        threshold=Estimate(threshold, low[0], high[0]),
        tpr=Estimate(float((pairs.true < threshold).mean()) if len(pairs.true) else np.nan, low[1], high[1]),
        fpr=float((pairs.false < threshold).sum() / total),
        true=len(pairs.true),
        false=total,
    )


def at_threshold(pairs: RatePairs, threshold: float) -> tuple[float, float]:
    """Shares of true and of false pairs that a threshold accepts; NaN where there are none.

    False pairs are counted one by one as far as they are kept, and beyond by the histogram, within a bin.
    """
    true = float((pairs.true < threshold).mean()) if len(pairs.true) else np.nan
    total = int(pairs.false_counts.sum())
    if len(pairs.false) and threshold <= pairs.false[-1]:
        return true, float((pairs.false < threshold).sum() / total)
    cumulative = np.concatenate([[0], np.cumsum(pairs.counts)])
    return true, float(np.interp(threshold, pairs.edges, cumulative) / total) if total else np.nan


def _intervals(pairs: RatePairs, fpr: float, allowed: int) -> tuple[list[float], list[float]]:
    """Lower and upper ends of threshold and TPR."""
    places = np.unique(np.linspace(0, min(len(pairs.false) - 1, SPARE * (allowed + 1)), _GRID).astype(np.intp))
    grid = pairs.false[places]
    false = _below(pairs.false, pairs.false_people, grid, len(pairs.people))
    true = _below(pairs.true, pairs.true_people, grid, len(pairs.people))
    true_counts = np.bincount(pairs.true_people, minlength=len(pairs.people))

    def of(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        limits = fpr * (weights @ pairs.false_counts) + 1e-9
        last = ((weights @ false) <= limits[:, None]).sum(axis=1).clip(1) - 1
        rows = np.arange(len(weights))
        with np.errstate(invalid="ignore"):
            shares = (weights @ true)[rows, last] / (weights @ true_counts)
        return np.column_stack([grid[last], shares])

    low, high = interval_over_people(pairs.people, of, shares=pairs.false_counts.astype(float))
    return low.tolist(), high.tolist()


def _below(
    distances: NDArray[np.float64], owners: NDArray[np.intp], grid: NDArray[np.float64], people: int
) -> NDArray[np.float64]:
    """f64[p, k], pairs of each person that are nearer than each of k rising distances."""
    slots = np.searchsorted(grid, distances, side="right")
    counts = np.bincount(owners * (len(grid) + 1) + slots, minlength=people * (len(grid) + 1))
    return counts.reshape(people, -1)[:, : len(grid)].cumsum(axis=1).astype(np.float64)
