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

_AT_ONCE = 1 << 24
"""False pairs times replicates that are weighed at once; bounds the memory."""

_ROUNDING = 1e-9


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
    total = pairs.false_total
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
    total = pairs.false_total
    if len(pairs.false) and threshold <= pairs.false[-1]:
        return true, float((pairs.false < threshold).sum() / total)
    cumulative = np.concatenate([[0], np.cumsum(pairs.counts)])
    return true, float(np.interp(threshold, pairs.edges, cumulative) / total) if total else np.nan


def _intervals(pairs: RatePairs, fpr: float, allowed: int) -> tuple[list[float], list[float]]:
    """Lower and upper ends of threshold and TPR.

    People are drawn as those of queries and of gallery images alike, as both decide which false pairs are near; who is
    never asked for stays in the gallery. See `_damping` for how far the weights of thresholds go; those of TPRs go all
    the way, as the TPR of the least far ones was too often outside (88 % where 95 % should be in simulations).
    """
    near = pairs.false[: int(min(len(pairs.false), SPARE * (allowed + 1)))]
    starts = np.unique(np.linspace(0, len(near) - 1, _GRID).astype(np.intp))
    owners, others = pairs.false_people[: len(near)], pairs.false_others[: len(near)]
    grid, people = near[starts], len(pairs.people)
    true_counts = np.bincount(pairs.true_people, minlength=people)
    true, damping = _nearer(pairs, grid), _damping(pairs, fpr, allowed)

    def last_accepted(weights: NDArray[np.float64]) -> NDArray[np.intp]:
        """Places intp[b] in the grid of the thresholds of these people."""
        shown = np.column_stack([weights, np.ones(len(weights))])
        total = ((weights @ pairs.false_counts) * shown).sum(axis=1)
        last = np.zeros(len(weights), dtype=np.intp)
        for rows in np.array_split(np.arange(len(weights)), max(1, len(weights) * len(near) // _AT_ONCE)):
            parts = np.add.reduceat(weights[rows][:, owners] * shown[rows][:, others], starts, axis=1)
            before = np.cumsum(parts, axis=1) - parts  # false pairs that are nearer than each threshold
            last[rows] = (before <= fpr * total[rows, None] + _ROUNDING).sum(axis=1) - 1
        return last

    def of(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(invalid="ignore"):
            shares = (weights @ true)[np.arange(len(weights)), last_accepted(weights)] / (weights @ true_counts)
        return np.column_stack([grid[last_accepted(1 + damping * (weights - 1))], shares])

    low, high = interval_over_people(pairs.people, of, shares=pairs.false_counts.sum(axis=1).astype(float))
    return low.tolist(), high.tolist()


def _damping(pairs: RatePairs, fpr: float, allowed: int) -> float:
    """How far weights of people go from 1 so that the share of near false pairs varies as among other people.

    Products of drawn weights count what a pair of people has of its own three times (Owen, "The Pigeonhole Bootstrap",
    Annals of Applied Statistics 2007): with ``P`` the sum of squares of what people contribute, each pair to both of
    its people, and ``D`` that of pairs, the variance is P + D. What the data say is P - D (Aronow, Samii and Assenova,
    "Cluster-Robust Variance Estimation for Dyadic Data", Political Analysis 2015), and D at least, as with pairs that
    have nothing in common. Weights ``1 + d (w - 1)`` give d^2 P + d^4 D, so d follows.
    """
    people = len(pairs.people)
    excess = -fpr * pairs.false_counts.astype(np.float64)
    np.add.at(excess, (pairs.false_people[:allowed], pairs.false_others[:allowed]), 1.0)
    between = excess[:, :people] + excess[:, :people].T
    own = float((np.triu(between, 1) ** 2).sum())
    each = float(((between.sum(axis=1) + excess[:, people]) ** 2).sum())
    if own <= 0:
        return 1.0
    wanted = max(each - own, own)
    return float(np.sqrt(min(1.0, (np.sqrt(each**2 + 4 * own * wanted) - each) / (2 * own))))


def _nearer(pairs: RatePairs, grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """f64[p, k], true pairs of each person that are nearer than each of k rising distances."""
    slots = np.searchsorted(grid, pairs.true, side="right")
    width = len(grid) + 1
    counts = np.bincount(pairs.true_people * width + slots, minlength=len(pairs.people) * width)
    return counts.reshape(-1, width)[:, :-1].cumsum(axis=1).astype(np.float64)
