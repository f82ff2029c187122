"""The share of a gap that a row closes: of what is lost as queries are shrunk, how much a method brings back.

With the scores a of a row, n of the aligner ``none`` and b of ``none`` on the same queries unshrunk, the share is
(a - n) / (b - n). A replicate draws the same people for all three. Where a replicate has no gap (b <= n), nothing can
be said of its share, so it counts as the worst at either end; and where that leaves an end open, the data do not tell
that there is a gap, and no share is given. The interval of a ratio by Fieller ("Some Problems in Interval Estimation",
Journal of the Royal Statistical Society B 1954) is unbounded in the same cases.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from crbench.statistics.bootstrap import LEVEL, expanded_tail
from crbench.statistics.draws import REPLICATES, drawn_weights
from crbench.statistics.identities import IdentitySums, identities
from crbench.statistics.matching import aligned
from crbench.statistics.queries import TrialQueries

_OPEN = (-np.inf, np.inf)


@attrs.frozen
class GapClosed:
    """A share of a gap, 1 where all of it is closed, with the ends of its interval; it may lie outside [0, 1]."""

    share: float
    low: float
    high: float


def gap_closed(
    row: Sequence[TrialQueries],
    none: Sequence[TrialQueries],
    bound: Sequence[TrialQueries],
    name: str,
    *,
    replicates: int = REPLICATES,
) -> GapClosed | None:
    """The share of the gap between `none` and `bound` that `row` closes in one score; None where no gap is told from 0.

    Args:
        row, none, bound: trials of each, over the same images; their rates may differ.
        name: of the score.

    Raises:
        ComparisonError: they share no query.
        DataError: a trial asks for an image twice.
    """
    trials = aligned([[trial.without_rates() for trial in one] for one in (row, none, bound)])
    pids = identities(trials[0])
    sums = IdentitySums.joined([IdentitySums.of(one, [name], pids) for one in trials])
    mine, base, top = sums.scores(np.ones((1, len(pids))))[0].tolist()
    drawn = np.concatenate([sums.scores(weights) for weights in drawn_weights(pids, 0, replicates)])
    drawn = drawn[~np.isnan(drawn).any(axis=1)]
    gaps = drawn[:, 2] - drawn[:, 1]
    gained, tail = drawn[:, 0] - drawn[:, 1], expanded_tail(sums.effective, LEVEL)
    lowest, highest = (np.divide(gained, gaps, out=np.full(len(gaps), end), where=gaps > 0) for end in _OPEN)
    low, high = np.quantile(lowest, tail, method="lower"), np.quantile(highest, 1 - tail, method="higher")
    if top <= base or not np.isfinite([low, high]).all():
        return None
    return GapClosed((mine - base) / (top - base), float(low), float(high))
