"""From counts to outcomes: CMC, AP, INP, and the single-shot expectation. Formulas only; no features, no distances.

Everything is NumPy float64 in a fixed order, independent of the order of the gallery, so that equal counts give equal
bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from crbench.evaluation.scores import Outcomes
from crbench.evaluation.task import Counts, Task

_NEGLIGIBLE = 1e-30
"""A probability that small is taken for 0; far below the rounding of any score."""

_CHUNK = 1 << 12
"""Positives whose rank distributions are computed in one go."""


def multi_shot(task: Task, answers: Iterable[Counts], ranks: int, *, ap: str) -> Outcomes:
    """Outcomes with all gallery images.

    The i-th nearest of P positives has ``rank_i = i +`` negatives ahead of it. CMC at k is 1 if ``rank_1 <= k``; INP is
    ``P / rank_P`` (Ye et al., TPAMI 2021); for AP see `average_precision`.

    Args:
        ap: the AP rule.
    """
    count = len(task.sizes)
    cmc = np.full((count, ranks), np.nan)
    precision, penalty = np.full(count, np.nan), np.full(count, np.nan)
    for query, ahead in _by_query(task, ((answer.queries, answer.ahead[:, 0]) for answer in answers)):
        # a nearer positive never has more negatives ahead of it
        hits = np.sort(ahead) + np.arange(1, len(ahead) + 1)
        cmc[query] = hits[0] <= np.arange(1, ranks + 1)
        precision[query] = average_precision(hits, ap)
        penalty[query] = len(hits) / hits[-1]
    return Outcomes(cmc=cmc, ap=precision, inp=penalty, valid=task.sizes > 0)


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
    found = np.arange(1, len(hits) + 1)
    precision = found / hits
    if rule == "trapezoid":
        before = np.divide(found - 1, hits - 1, out=np.ones(len(hits)), where=hits > 1)
        precision = (before + precision) / 2
    return math.fsum(precision.tolist()) / len(hits)


def single_shot(task: Task, answers: Iterable[Counts], ranks: int, *, sizes: NDArray[np.intp]) -> Outcomes:
    """Expected outcomes when each identity shows one of its valid images, drawn uniformly and independently.

    For a positive, the image of another identity j is ahead with probability p_j, the share of j's images that are.
    Its rank is 1 plus a sum of independent Bernoulli(p_j), so CMC at k is a Poisson-binomial probability; the query's
    outcome is the mean over its positives, each of which is drawn with equal probability.

    Args:
        sizes: intp[width], images per identity; column 0 holds all identities of one image.
    """
    cmc = np.full((len(task.sizes), ranks), np.nan)
    curves = ((answer.queries, placed_within(answer.ahead, sizes, ranks)) for answer in answers)
    for query, mine in _by_query(task, curves):
        # sorted, so that the sum does not depend on the order of the gallery
        cmc[query] = np.sort(mine, axis=0).sum(axis=0) / len(mine)
    return Outcomes(cmc=cmc, ap=None, inp=None, valid=task.sizes > 0)


def placed_within(ahead: NDArray[np.integer], sizes: NDArray[np.intp], ranks: int) -> NDArray[np.float64]:
    """Probability that a positive is placed within rank 1, 2, ... `ranks`: f64[p, ranks].

    Args:
        ahead: integers [p, width], images ahead, per identity.
        sizes: intp[width], see `single_shot`.

    Example:
        >>> placed_within(np.array([[1, 1, 2]]), np.array([7, 2, 2]), 4).tolist()  # two surely ahead, perhaps a third
        [[0.0, 0.0, 0.5, 1.0]]
    """
    within = np.empty((len(ahead), ranks))
    for start in range(0, len(ahead), _CHUNK):
        some = slice(start, start + _CHUNK)
        sure = ahead[some, 0] + (ahead[some, 1:] == sizes[1:]).sum(axis=1)
        chances = np.ascontiguousarray((ahead[some, 1:] / sizes[1:]).T)
        within[some] = _poisson_binomial(chances, sure, ranks)
    return within


def _poisson_binomial(chances: NDArray[np.float64], sure: NDArray[np.int64], ranks: int) -> NDArray[np.float64]:
    """P(sure + sum of Bernoulli < k) for k = 1..ranks: f64[n, ranks].

    Args:
        chances: f64[identities, n]; zeros and ones are skipped, as `sure` i64[n] counts the ones.
    """
    mass = np.zeros((ranks, len(sure)))  # P(so many ahead), cut at the last rank asked for
    alive = sure < ranks
    mass[sure[alive], np.flatnonzero(alive)] = 1.0
    for number, chance in enumerate(chances):
        active = np.flatnonzero((chance > 0) & (chance < 1) & alive)
        if len(active):
            before, p = mass[:, active], chance[active]
            after = before * (1 - p)
            after[1:] += before[:-1] * p
            mass[:, active] = after
        if number % 16 == 0:
            alive = mass.sum(axis=0) > _NEGLIGIBLE
    within: NDArray[np.float64] = np.minimum(np.cumsum(mass, axis=0), 1.0).T
    return within


def _by_query(
    task: Task, answers: Iterable[tuple[NDArray[np.intp], NDArray[np.generic]]]
) -> Iterator[tuple[int, NDArray[np.generic]]]:
    """Each query that has positives, with its own rows of the answers."""
    for queries, rows in answers:
        ends = np.cumsum(task.sizes[queries])
        yield from zip(queries.tolist(), np.split(rows, ends[:-1]), strict=True)
