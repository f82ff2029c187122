"""Average precision, by the two rules that codes for re-identification follow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crbench.metrics.queries import found, per_positive, sums


def average_precision(
    ranks: NDArray[np.int64], starts: NDArray[np.int64], candidates: NDArray[np.int64], *, ap: str = "step"
) -> NDArray[np.float64]:
    """f64[q] in [0, 1], the average precision (AP) of each query; NaN without positives. Its mean is mAP.

    With r_i the rank of the i-th of P positives:

    - ``step``: mean over i of ``i / r_i``, the precision at each positive (torchreid, fast-reid, TransReID).
    - ``trapezoid``: mean over i of ``((i - 1) / (r_i - 1) + i / r_i) / 2``, the precisions just before and at the
      positive, the former being 1 where ``r_i = 1`` (the rule of the Oxford Buildings evaluation, kept by
      Market-1501's and by layumi's baseline).

    The sum is rounded once and then divided by P.

    Args:
        ranks, starts, candidates: see `crbench.metrics`.
        ap: the rule.

    Example:
        >>> ranks, starts, candidates = np.array([1, 4]), np.array([0, 2]), np.array([9])
        >>> average_precision(ranks, starts, candidates).tolist()
        [0.75]
        >>> average_precision(ranks, starts, candidates, ap="trapezoid").round(4).tolist()
        [0.7083]
    """
    hits = found(starts)
    precision: NDArray[np.float64] = hits / ranks
    if ap == "trapezoid":
        before = np.divide(hits - 1, ranks - 1, out=np.ones(len(ranks)), where=ranks > 1)
        precision = (before + precision) / 2
    return per_positive(sums(precision, starts), starts)
