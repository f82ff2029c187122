"""From counts to outcomes: CMC, AP, INP, and the single-shot expectation. Formulas only; no features, no distances.

Everything is NumPy float64 in a fixed order, independent of the order of the gallery, so that equal counts give equal
bits.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from crbench.evaluation.outcomes import Outcomes
from crbench.ranking.interface import RankCounts, RankTask


class MultiShot:
    """Collects the outcomes of a task with all its gallery images.

    The i-th nearest of P positives has ``rank_i = i +`` negatives ahead of it. CMC at k is 1 if ``rank_1 <= k``; INP is
    ``P / rank_P`` (Ye et al., TPAMI 2021); for AP see `average_precision`.
    """

    def __init__(self, task: RankTask, ranks: int, *, ap: str) -> None:
        """Args: the task, the length of the CMC curve, and the AP rule."""
        self.task = task
        self._ap = ap
        count = len(task.sizes)
        self._cmc = np.full((count, ranks), np.nan)
        self._precision, self._penalty = np.full(count, np.nan), np.full(count, np.nan)

    def add(self, counts: RankCounts) -> None:
        """Take the answer for some queries."""
        sizes = self.task.sizes[counts.queries]
        ends = np.cumsum(sizes)
        first = ends - sizes
        owners = np.repeat(np.arange(len(sizes)), sizes)
        place = np.arange(1, len(owners) + 1) - first[owners]
        ahead = np.sort(owners << 32 | counts.ahead[:, 0]) & 0xFFFFFFFF  # within a query
        hits = ahead + place  # a nearer positive never has more negatives ahead of it
        self._cmc[counts.queries] = hits[first][:, None] <= np.arange(1, self._cmc.shape[1] + 1)
        self._penalty[counts.queries] = sizes / hits[ends - 1]
        precisions = _precisions(hits, place, self._ap).tolist()
        self._precision[counts.queries] = [
            math.fsum(precisions[start:end]) / (end - start)
            for start, end in zip(first.tolist(), ends.tolist(), strict=True)
        ]

    def outcomes(self) -> Outcomes:
        """The outcomes, once every query with positives was added."""
        return Outcomes(cmc=self._cmc, ap=self._precision, inp=self._penalty, valid=self.task.sizes > 0)


def average_precision(hits: NDArray[np.int64], rule: str) -> float:
    """AP of one query from the ranks of its positives, ascending from 1.

    Args:
        rule: ``step``: mean over i of ``i / rank_i``, the precision at each positive (torchreid, fast-reid, TransReID).
            ``trapezoid``: mean over i of ``((i - 1) / (rank_i - 1) + i / rank_i) / 2``, the precisions just before and
            at the positive, the former being 1 where ``rank_i = 1`` (the rule of the Oxford Buildings evaluation, kept
            by Market-1501's and by layumi's baseline).

    Example:
        >>> average_precision(np.array([1, 4]), "step")
        0.75
        >>> round(average_precision(np.array([1, 4]), "trapezoid"), 4)
        0.7083
    """
    return math.fsum(_precisions(hits, np.arange(1, len(hits) + 1), rule).tolist()) / len(hits)


def _precisions(hits: NDArray[np.integer], found: NDArray[np.integer], rule: str) -> NDArray[np.float64]:
    """f64[n], what each positive adds to the AP: its rank, and how many positives it completes."""
    precision: NDArray[np.float64] = found / hits
    if rule == "trapezoid":
        before = np.divide(found - 1, hits - 1, out=np.ones(len(hits)), where=hits > 1)
        precision = (before + precision) / 2
    return precision


class SingleShot:
    """Collects expected outcomes when each identity shows one of its valid images, drawn uniformly and independently.

    For a positive, the image of another identity j is ahead with probability p_j, the share of j's images that are.
    Its rank is 1 plus a sum of independent Bernoulli(p_j), so CMC at k is a Poisson-binomial probability; the query's
    outcome is the mean over its positives, each of which is drawn with equal probability.
    """

    def __init__(self, task: RankTask, ranks: int, *, sizes: NDArray[np.intp]) -> None:
        """Args: the task, the length of the CMC curve, and intp[width], images per identity; column 0 holds all
        identities of one image.
        """
        self.task = task
        self._sizes = sizes
        self._cmc = np.full((len(task.sizes), ranks), np.nan)

    def add(self, counts: RankCounts) -> None:
        """Take the answer for some queries."""
        from crbench.metrics.single_shot import placed_within

        curves = placed_within(counts.ahead, self._sizes, self._cmc.shape[1])
        ends = np.cumsum(self.task.sizes[counts.queries])
        for query, mine in zip(counts.queries.tolist(), np.split(curves, ends[:-1]), strict=True):
            # sorted, so that the sum does not depend on the order of the gallery
            self._cmc[query] = np.sort(mine, axis=0).sum(axis=0) / len(mine)

    def outcomes(self) -> Outcomes:
        """The outcomes, once every query with positives was added."""
        return Outcomes(cmc=self._cmc, ap=None, inp=None, valid=self.task.sizes > 0)


class Draws:
    """Collects the CMC of one single-shot draw: the one positive of a query is in place 1 + negatives ahead of it."""

    def __init__(self, task: RankTask, places: NDArray[np.int64]) -> None:
        """Args: the task, and i64[q, ranks], to which it is added how often a query is placed within each rank."""
        self.task = task
        self._within = places

    def add(self, counts: RankCounts) -> None:
        """Take the answer for some queries."""
        self._within[counts.queries] += counts.ahead <= np.arange(self._within.shape[1])
