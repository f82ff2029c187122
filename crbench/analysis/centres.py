"""Distances between the LR and HR centres of a person, before and after an aligner (VPFA, Table 7)."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.analysis.offsets import Estimate, estimate
from crbench.analysis.people import Floats, checked, means


@attrs.frozen(eq=False)
class CentreDistances:
    """Euclidean distances of each person's LR centre, before and after an aligner, all f64[p].

    Attributes:
        people: i64[p], ascending.
        before, after: to the HR centre of the person.
        nearest_before, nearest_after: to the nearest HR centre of another person. A map that draws everything together
            makes `after` small, too; who is recognised depends on both.
    """

    people: NDArray[np.int64]
    before: NDArray[np.float64]
    after: NDArray[np.float64]
    nearest_before: NDArray[np.float64]
    nearest_after: NDArray[np.float64]

    @property
    def reductions(self) -> NDArray[np.float64]:
        """f64[p], the share of the distance that the aligner takes away; 0 where there was none."""
        kept = np.divide(self.after, self.before, out=np.ones_like(self.before), where=self.before > 0)
        return 1 - kept

    @property
    def nearer_before(self) -> NDArray[np.bool_]:
        """bool[p], whether the own HR centre is the nearest one."""
        return self.before < self.nearest_before

    @property
    def nearer_after(self) -> NDArray[np.bool_]:
        """The same after the aligner."""
        return self.after < self.nearest_after

    def mean(self, values: NDArray[np.float64] | NDArray[np.bool_]) -> Estimate:
        """The mean of f64[p] over people, with its interval."""
        return estimate(self.people, lambda weights: (weights @ values / weights.sum(axis=1))[:, None])


def centre_distances(before: Floats, after: Floats, target: Floats, pids: NDArray[np.int64]) -> CentreDistances:
    """Distances of centres for LR features as they are and as an aligner changes them.

    Args:
        before, after, target: LR features, the same mapped, and HR features [n, D] of the same images.
        pids: i64[n].

    Raises:
        DataError: unequal shapes, or values that are not finite.

    Example:
        >>> lr, hr = np.array([[0.0, 0], [9, 0]]), np.array([[0.0, 4], [9, 4]])
        >>> found = centre_distances(lr, lr + [0, 3], hr, np.array([1, 2]))
        >>> found.before.tolist(), found.after.tolist(), found.reductions.tolist()
        ([4.0, 4.0], [1.0, 1.0], [0.75, 0.75])
    """
    sides = [side for other in (before, after) for side in checked(other, target, pids)]
    people, _ = means(sides[0], pids)
    first, hr, second, _ = (means(side, pids)[1] for side in sides)
    own, nearest = zip(*(_to_centres(side, hr) for side in (first, second)), strict=True)
    return CentreDistances(people, own[0], own[1], nearest[0], nearest[1])


def _to_centres(lr: NDArray[np.float64], hr: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each centre f64[p, D] its distance to its own of `hr`, and to the nearest other one; infinite without one."""
    own = np.linalg.norm(lr - hr, axis=1)
    squares = (lr**2).sum(axis=1)[:, None] + (hr**2).sum(axis=1) - 2 * lr @ hr.T
    np.fill_diagonal(squares, np.inf)
    return own, np.sqrt(squares.min(axis=1).clip(min=0))
