"""Sums over the queries of each person, by trial: scores of people drawn anew are matrix products of them."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.statistics.queries import TrialQueries


@attrs.frozen(eq=False)
class IdentitySums:
    """What each person adds to the scores of each trial: n people, t trials, k scores.

    Attributes:
        counts: f64[n, t], queries of the person in the trial.
        sums: f64[n, t, k], sums of their scores.
    """

    counts: NDArray[np.float64]
    sums: NDArray[np.float64]

    @classmethod
    def of(cls, trials: Sequence[TrialQueries], names: Sequence[str], pids: NDArray[np.int64]) -> IdentitySums:
        """Sums of some scores.

        Args:
            pids: i64[n], all people, ascending.
        """
        counts = np.zeros((len(pids), len(trials)))
        sums = np.zeros((len(pids), len(trials), len(names)))
        for place, trial in enumerate(trials):
            owners = np.searchsorted(pids, trial.pids)
            # Sorted first, so that the order of the queries decides no bit.
            order = np.lexsort((trial.rates, trial.keys, owners))
            counts[:, place] = np.bincount(owners, minlength=len(pids))
            for column, name in enumerate(names):
                weights = trial.values[name][order]
                sums[:, place, column] = np.bincount(owners[order], weights=weights, minlength=len(pids))
        return cls(counts, sums)

    @classmethod
    def joined(cls, parts: Sequence[IdentitySums]) -> IdentitySums:
        """The scores of all parts, which have the same queries."""
        return cls(parts[0].counts, np.concatenate([part.sums for part in parts], axis=2))

    def scores(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """f64[r, k], the scores if person i were there ``weights[:, i]`` times: means over trials, as printed.

        A trial none of whose people was drawn is left out; NaN where that is every trial.

        Args:
            weights: f64[r, n].
        """
        people, trials, scores = self.sums.shape
        counts = (weights @ self.counts)[:, :, None]
        sums = (weights @ self.sums.reshape(people, -1)).reshape(-1, trials, scores)
        means = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
        present = (counts > 0).sum(axis=1)
        found = np.full((len(weights), scores), np.nan)
        np.divide(means.sum(axis=1), present, out=found, where=present > 0)
        return found

    @property
    def shares(self) -> NDArray[np.float64]:
        """f64[n], the share of each person in the scores: of its queries in a trial's, mean over trials."""
        totals = self.counts.sum(axis=0)
        shares: NDArray[np.float64] = (self.counts[:, totals > 0] / totals[totals > 0]).mean(axis=1)
        return shares

    @property
    def contributions(self) -> NDArray[np.float64]:
        """f64[n, k], what each person adds to each score: their sum is the score."""
        totals = self.counts.sum(axis=0)
        found: NDArray[np.float64] = (self.sums[:, totals > 0] / totals[totals > 0, None]).mean(axis=1)
        return found

    @property
    def effective(self) -> float:
        """How many people with equal shares tell as much as these do; Kish, "Survey Sampling", 1965."""
        shares = self.shares
        return float(shares.sum() ** 2 / (shares**2).sum())


def identities(trials: Sequence[TrialQueries]) -> NDArray[np.int64]:
    """i64[n], the people of all trials, ascending."""
    return np.unique(np.concatenate([trial.pids for trial in trials]))
