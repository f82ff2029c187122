"""Differences between methods that answered the same queries.

Everything is paired: a replicate draws the same people for all rows, and a permutation exchanges two rows for a person
in all its queries and trials at once, as these are not independent of each other. A score is the mean over trials of
means over queries, so exchanging the rows for some people changes the signs of what these add to the difference.

The interval of a difference is that of `crbench.statistics.bootstrap`. The p-value is two-sided: how often a difference
at least as large comes about if it does not matter which row is which. The two can disagree where p is close to 0.05.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.statistics.bootstrap import LEVEL, degrees_of_freedom, percentile_interval
from crbench.statistics.draws import REPLICATES, drawn_signs, drawn_weights
from crbench.statistics.identities import IdentitySums, identities
from crbench.statistics.queries import TrialQueries

_SAME = 1e-9
"""Differences of scores that are closer are equal but for rounding."""

_POWER = 0.8


@attrs.frozen(eq=False)
class Differences:
    """One score of m rows over the same queries, and how the rows differ in it.

    Attributes:
        scores: f64[m].
        low, high: f64[m, m], the interval of row i minus row j.
        deviation: f64[m, m], standard deviation of that difference over people drawn anew.
        p: f64[m, m], 1 on the diagonal.
        level: of the intervals.
        identities: people among the queries.
        effective: how many with equal numbers of queries tell as much.
        permutations: tried or drawn, that `p` counts.
    """

    scores: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    deviation: NDArray[np.float64]
    p: NDArray[np.float64]
    level: float
    identities: int
    effective: float
    permutations: int

    @property
    def difference(self) -> NDArray[np.float64]:
        """f64[m, m], row i minus row j."""
        return np.subtract.outer(self.scores, self.scores)

    @property
    def holm(self) -> NDArray[np.float64]:
        """f64[m, m], `p` corrected for the number of pairs: see `holm`."""
        upper = np.triu_indices(len(self.scores), 1)
        corrected = holm(self.p[upper])
        return _square(corrected, corrected, diagonal=1.0)

    def rank_intervals(self, *, lower_is_better: bool = False) -> list[tuple[int, int]]:
        """For each row the places that it may have, from the best to the worst one.

        The best place of a row comes after all rows that are better than it, the worst one before all that are worse,
        of those that the data tell apart from it (`holm`). So all places together are right with the probability
        `level` (Mogstad, Romano, Shaikh and Wilhelm, "Inference for Ranks", Review of Economic Studies 2024). Ranks of
        replicates are no such interval: where rows are nearly equal, they are too narrow.
        """
        apart = self.holm <= 1 - self.level
        better = (self.difference < 0) != lower_is_better
        rows = len(self.scores)
        best, worse = 1 + (apart & better).sum(axis=1), (apart & ~better).sum(axis=1)
        return [(int(first), rows - int(after)) for first, after in zip(best, worse, strict=True)]

    @property
    def resolution(self) -> float | None:
        """The difference that these queries resolve between rows such as these; None where no pair of rows tells it.

        It is found (p up to 1 - `level`) with a probability of 80 % for the pair whose deviation is in the middle, of
        those whose difference depends on the people: a row beside its copy says nothing of what would be found.
        """
        deviations = self.deviation[np.triu_indices(len(self.scores), 1)]
        deviations = deviations[deviations > _SAME]
        if not len(deviations):
            return None
        return resolvable(float(np.median(deviations)), self.effective, self.level)


def differences(
    rows: Sequence[Sequence[TrialQueries]],
    name: str,
    *,
    level: float = LEVEL,
    replicates: int = REPLICATES,
    permutations: int | None = None,
    seed: int = 0,
) -> Differences:
    """How rows differ in one score.

    Args:
        rows: trials of each row, all over the same queries in the same order; see `aligned`.
        name: of the score.
        permutations: None = 9,999, or as many as Holm's correction of all pairs needs, up to 99,999. Where there are
            no more in all, each is tried once; else they are drawn.
    """
    pids = identities(rows[0])
    sums = IdentitySums.joined([IdentitySums.of(row, [name], pids) for row in rows])
    replicated = np.concatenate([sums.scores(weights) for weights in drawn_weights(pids, seed, replicates)])
    upper = np.triu_indices(len(rows), 1)
    pairs = replicated[:, upper[0]] - replicated[:, upper[1]]
    low, high = percentile_interval(pairs, sums.effective, level)
    deviation = np.nanstd(pairs, axis=0) * np.sqrt(1 + 1 / degrees_of_freedom(sums.effective))
    p, tried = _permuted(sums.contributions, pids, permutations or _enough(len(rows)), seed)
    return Differences(
        scores=sums.scores(np.ones((1, len(pids))))[0],
        low=_square(low, -high),
        high=_square(high, -low),
        deviation=_square(deviation, deviation),
        p=_square(p, p, diagonal=1.0),
        level=level,
        identities=len(pids),
        effective=sums.effective,
        permutations=tried,
    )


def _square(upper: NDArray[np.float64], lower: NDArray[np.float64], diagonal: float = 0.0) -> NDArray[np.float64]:
    """f64[m, m] of the values of each pair, and of each pair the other way round."""
    rows = round((1 + math.sqrt(1 + 8 * len(upper))) / 2)
    found = np.full((rows, rows), diagonal)
    first, second = np.triu_indices(rows, 1)
    found[first, second], found[second, first] = upper, lower
    return found


def _enough(rows: int) -> int:
    """Permutations that let Holm's correction find something in each pair of rows."""
    return min(max(10_000, 100 * rows * (rows - 1)), 100_000) - 1


def _permuted(
    contributions: NDArray[np.float64], pids: NDArray[np.int64], permutations: int, seed: int
) -> tuple[NDArray[np.float64], int]:
    """P-values of each pair of rows of f64[n, m], what people add to scores; and how many permutations there were.

    A permutation that was drawn may be the one that changes nothing, so that one counts as drawn once more.
    """
    rows = contributions.shape[1]
    observed = np.abs(np.subtract.outer(total := contributions.sum(axis=0), total)) - _SAME
    exact = 2 ** len(pids) <= permutations
    reached, tried = np.zeros((rows, rows), dtype=np.int64), 0
    for signs in _all_signs(len(pids)) if exact else drawn_signs(pids, seed, permutations):
        changed = np.ascontiguousarray((signs @ contributions).T)
        for row in range(rows - 1):  # all pairs at once would not fit into the processor's cache
            size = np.abs(changed[row + 1 :] - changed[row])
            reached[row, row + 1 :] += np.count_nonzero(size >= observed[row, row + 1 :, None], axis=1)
        tried += len(signs)
    counts = reached[np.triu_indices(rows, 1)]
    return (counts + (not exact)) / (tried + (not exact)), tried


def _all_signs(people: int) -> Iterator[NDArray[np.float64]]:
    """f64[2**n, n], every choice of signs."""
    bits = np.arange(2**people)[:, None] >> np.arange(people) & 1
    yield 1.0 - 2.0 * bits.astype(np.float64)


def holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """f64[k], p-values corrected for their number; the probability that any below 0.05 is wrong is below 0.05.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 1979.

    Example:
        >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
        [0.03, 0.06, 0.06]
    """
    order = np.argsort(p, kind="stable")
    left = np.arange(len(p), 0, -1)
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * left), 1.0)
    return corrected


def power(difference: float, deviation: float, effective: float, level: float = LEVEL) -> float:
    """The probability that a true difference is found, as that of a t test.

    Args:
        deviation: of the estimate.
        effective: number of people, see `IdentitySums.effective`.

    Example:
        >>> round(power(2.8, 1.0, 1000), 2)
        0.8
    """
    from scipy import special  # takes as long to import as a small table to print

    freedom, shift = degrees_of_freedom(effective), difference / deviation
    critical = special.stdtrit(freedom, (1 + level) / 2)
    return float(1 - special.nctdtr(freedom, shift, critical) + special.nctdtr(freedom, shift, -critical))


def resolvable(deviation: float, effective: float, level: float = LEVEL) -> float:
    """The difference that is found with a probability of 80 %, nearly; see `power`."""
    from scipy import special  # takes as long to import as a small table to print

    freedom = degrees_of_freedom(effective)
    return float(deviation * (special.stdtrit(freedom, (1 + level) / 2) + special.stdtrit(freedom, _POWER)))
