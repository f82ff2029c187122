"""What all analyses share: features row by row with the people that they show, means of people, and halves of them."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from crbench.data.draws import shuffled
from crbench.errors import DataError

Floats: TypeAlias = NDArray[np.floating]
"""Features, float32 or float64; all sums are float64."""

FEWEST = 4
"""People, at least, of whom halves can be compared."""


def checked(lr: Floats, hr: Floats, pids: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """LR and HR features f64[n, D] of the same images.

    Raises:
        DataError: other shapes, or values that are not finite.
    """
    if lr.ndim != 2 or lr.shape != hr.shape or len(lr) != len(pids):
        raise DataError(
            f"LR features {lr.shape}, HR features {hr.shape} and {len(pids)} pids; expected one row of each per image"
        )
    wide = np.asarray(lr, dtype=np.float64), np.asarray(hr, dtype=np.float64)
    if not all(np.isfinite(side).all() for side in wide):
        raise DataError("features hold NaN or infinite values")
    return wide


def means(x: NDArray[np.float64], pids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """People, ascending, and the mean f64[p, D] of each one's rows f64[n, D].

    Example:
        >>> means(np.array([[1.0], [3.0], [5.0]]), np.array([7, 7, 2]))
        (array([2, 7]), array([[5.],
               [2.]]))
    """
    people, places, counts = np.unique(pids, return_inverse=True, return_counts=True)
    sums = np.zeros((len(people), x.shape[1]))
    np.add.at(sums, places, x)
    return people, sums / counts[:, None]


def halves(pids: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """Which rows bool[n] show people of the first half: drawn from their numbers, the same on every machine.

    Raises:
        DataError: fewer than 4 people.
    """
    people = shuffled(f"analysis|seed {seed}|halves", np.unique(pids).tolist())
    if len(people) < FEWEST:
        raise DataError(
            f"halves of the people are compared, which takes {FEWEST} of them at least; here are {len(people)}"
        )
    first = np.array([int(str(pid)) for pid in people[: len(people) // 2]], dtype=np.int64)
    return np.isin(pids, first)
