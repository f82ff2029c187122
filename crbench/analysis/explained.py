"""How much of the way from LR to HR features a constant shift, a linear map of rank k or an aligner goes.

All is measured on other people than those that the map was fitted on: on one half of them, fitted on the other, both
ways. 0 is LR as it is, 1 is HR; below 0 a map leads away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from crbench.analysis.offsets import Estimate, estimate
from crbench.analysis.people import Floats, checked, halves

RANKS = (1, 4, 16, 64)
"""Ranks of linear maps that are tried, and the full one."""

_PENALTIES = tuple(10.0**power for power in range(-4, 3))
"""Ridge penalties in units of the mean eigenvalue, of which held-out people of the fitted half choose one."""


@attrs.frozen(eq=False)
class Explained:
    """Squared offsets of each person before and after a map: `total` and `left`, f64[p], summed over its images.

    Attributes:
        people: i64[p], ascending.
    """

    people: NDArray[np.int64]
    left: NDArray[np.float64]
    total: NDArray[np.float64]

    @classmethod
    def of(cls, left: NDArray[np.float64], total: NDArray[np.float64], pids: NDArray[np.int64]) -> Self:
        """Sums over the images f64[n] of each person."""
        people, places = np.unique(pids, return_inverse=True)
        return cls(people, *(np.bincount(places, weights=values).astype(np.float64) for values in (left, total)))

    def share(self) -> Estimate:
        """What is explained, 1 - left / total."""
        return estimate(self.people, lambda weights: (1 - weights @ self.left / (weights @ self.total))[:, None])

    def minus(self, other: Explained) -> Estimate:
        """How much more than another map of the same images."""
        gained = other.left - self.left
        return estimate(self.people, lambda weights: (weights @ gained / (weights @ self.total))[:, None])


def explained(lr: Floats, hr: Floats, mapped: Floats, pids: NDArray[np.int64]) -> Explained:
    """What a map of LR features takes away of the squared offsets, ``1 - |HR - mapped|^2 / |HR - LR|^2``.

    Args:
        lr, hr, mapped: features [n, D] of the same images.
        pids: i64[n].

    Raises:
        DataError: unequal shapes, or values that are not finite.
    """
    narrow, wide = checked(lr, hr, pids)
    moved, _ = checked(mapped, hr, pids)
    return Explained.of(((wide - moved) ** 2).sum(axis=1), ((wide - narrow) ** 2).sum(axis=1), pids)


def explained_by_shift(lr: Floats, hr: Floats, pids: NDArray[np.int64], *, seed: int = 0) -> Explained:
    """What the mean offset of the other half of the people explains.

    Raises:
        DataError: see `explained`; fewer than 4 people.
    """
    narrow, wide = checked(lr, hr, pids)
    mapped = np.empty_like(narrow)
    for fitted in _ways(pids, seed):
        mapped[~fitted] = narrow[~fitted] + (wide - narrow)[fitted].mean(axis=0)
    return explained(narrow, wide, mapped, pids)


def explained_by_rank(
    lr: Floats, hr: Floats, pids: NDArray[np.int64], ranks: Sequence[int] = RANKS, *, seed: int = 0
) -> dict[int, Explained]:
    """What a shift and a linear map of the centred LR features explain, by the map's rank; the last is the full one.

    The map is ridge regression of the offset, cut to the directions of its fit that have most variance (reduced-rank
    regression; Izenman, Journal of Multivariate Analysis 1975). The penalty is the one that explains most of a quarter
    of the fitted people, fitted on the others of them.

    Raises:
        DataError: see `explained_by_shift`.
    """
    narrow, wide = checked(lr, hr, pids)
    dim = narrow.shape[1]
    wanted = sorted({rank for rank in ranks if 0 < rank < dim} | {dim})
    left = {rank: np.empty(len(narrow)) for rank in wanted}
    for fitted in _ways(pids, seed):
        ridge, penalty = _Ridge.of(narrow[fitted], wide[fitted]), _penalty(narrow, wide, pids, fitted)
        offsets, directions = ridge.offsets(narrow[~fitted], penalty), ridge.directions(penalty)
        for rank in wanted:
            kept = offsets if rank == dim else offsets @ directions[:, :rank] @ directions[:, :rank].T
            left[rank][~fitted] = ((wide[~fitted] - narrow[~fitted] - ridge.shift - kept) ** 2).sum(axis=1)
    total = ((wide - narrow) ** 2).sum(axis=1)
    return {rank: Explained.of(own, total, pids) for rank, own in left.items()}


def _ways(pids: NDArray[np.int64], seed: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    first = halves(pids, seed)
    return first, ~first


def _penalty(
    lr: NDArray[np.float64], hr: NDArray[np.float64], pids: NDArray[np.int64], rows: NDArray[np.bool_]
) -> float:
    """The best penalty of a full map, by a quarter of these rows' people."""
    people = np.unique(pids[rows])
    held = np.isin(pids, people[:: max(2, min(4, len(people) // 2))]) & rows
    ridge = _Ridge.of(lr[rows & ~held], hr[rows & ~held])
    target = hr[held] - lr[held] - ridge.shift
    left = [((target - ridge.offsets(lr[held], penalty)) ** 2).sum() for penalty in _PENALTIES]
    return _PENALTIES[int(np.argmin(left))]


@attrs.frozen(eq=False)
class _Ridge:
    """Ridge regression of centred offsets on centred LR features, for any penalty.

    Attributes:
        centre, shift: f64[D], means of the LR features and of the offsets.
        squares, axes: f64[D] and f64[D, D], squared lengths of the principal axes of the features, and these.
        projected: f64[D, D], products of features and offsets along these axes.
    """

    centre: NDArray[np.float64]
    shift: NDArray[np.float64]
    squares: NDArray[np.float64]
    axes: NDArray[np.float64]
    projected: NDArray[np.float64]

    @classmethod
    def of(cls, lr: NDArray[np.float64], hr: NDArray[np.float64]) -> Self:
        centre, shift = lr.mean(axis=0), (hr - lr).mean(axis=0)
        centred = lr - centre
        squares, axes = linalg.eigh(centred.T @ centred)
        return cls(centre, shift, squares.clip(min=0), axes, axes.T @ (centred.T @ (hr - lr - shift)))

    def offsets(self, lr: NDArray[np.float64], penalty: float) -> NDArray[np.float64]:
        """Offsets f64[n, D] of other features, less the mean one."""
        return (lr - self.centre) @ self.axes @ (self._shrunk(penalty)[:, None] * self.projected)

    def directions(self, penalty: float) -> NDArray[np.float64]:
        """f64[D, D], columns: the directions of the fitted offsets, those of most variance first."""
        fitted = np.sqrt(self.squares)[:, None] * self._shrunk(penalty)[:, None] * self.projected
        found: NDArray[np.float64] = linalg.eigh(fitted.T @ fitted)[1][:, ::-1]
        return found

    def _shrunk(self, penalty: float) -> NDArray[np.float64]:
        scaled: NDArray[np.float64] = max(penalty * self.squares.mean(), np.finfo(np.float64).tiny) + self.squares
        return 1 / scaled
