"""Rates and levels: the data state at which rate an image is, a method which of its trained rates stands for it.

A level is an index from 1 (lowest resolution) to m into the m rates that a method was trained on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

Assign = Literal["nearest", "finer", "coarser"]
"""Which trained rate stands for one that was not trained: nearest in 1/r, or the next one of higher or lower detail."""

ASSIGNMENTS: tuple[Assign, ...] = get_args(Assign)


@lru_cache(maxsize=1024)
def exact_rate(rate: float) -> Fraction:
    """The number that a rate was written as: the shortest decimal of its float32, in which records keep rates.

    Example:
        >>> exact_rate(float(np.float32(2.4)))
        Fraction(12, 5)
    """
    return Fraction(str(np.float32(rate)))


def nearest_rate(scale: Fraction, trained: Iterable[float]) -> float:
    """The trained rate whose 1/r is nearest to `scale`, the size of an image relative to its size at rate 1.

    The comparison is exact. Of two equally near rates the finer (lower) one is taken.

    Example:
        >>> nearest_rate(Fraction(1, 4), (6, 3))
        3
    """
    return min(sorted(trained), key=lambda rate: abs(1 / exact_rate(rate) - scale))


def quantise(rates: ArrayLike, trained: Sequence[float], assign: Assign = "nearest") -> NDArray[np.int64]:
    """The level of each rate, i64 in the shape of `rates`; a trained rate has its own level whatever `assign` says.

    Args:
        rates: down-sampling rates, at least 1.
        trained: rates of the levels, in any order.
        assign: ``nearest``: see `nearest_rate`; ``finer``: the next smaller trained rate; ``coarser``: the next larger
            one. Beyond the trained rates the outermost is taken.

    Raises:
        ValueError: no trained rate, or an unknown `assign`.

    Example:
        >>> quantise([1, 2, 3, 4], trained=(1, 2, 3, 4)).tolist()
        [4, 3, 2, 1]
        >>> [quantise([3, 6], (1, 2, 4, 8), assign).tolist() for assign in ASSIGNMENTS]
        [[2, 1], [3, 2], [2, 1]]
    """
    if assign not in ASSIGNMENTS:
        raise ValueError(f"assign: {assign!r} is not one of {', '.join(ASSIGNMENTS)}")
    # from HR down; levels count in the other direction
    known = np.unique(np.asarray(trained, dtype=np.float32))
    if len(known) == 0:
        raise ValueError("quantise needs at least one trained rate")
    wanted = np.asarray(rates, dtype=np.float32)
    if assign == "nearest":
        distinct, which = np.unique(wanted, return_inverse=True)
        nearest = [nearest_rate(1 / exact_rate(rate), known) for rate in distinct]
        chosen = np.searchsorted(known, np.array(nearest, dtype=np.float32))[which].reshape(wanted.shape)
    elif assign == "finer":
        chosen = (np.searchsorted(known, wanted, side="right") - 1).clip(0)
    else:
        chosen = np.searchsorted(known, wanted, side="left").clip(max=len(known) - 1)
    return (len(known) - chosen).astype(np.int64)


def from_heights(heights: ArrayLike, full_height: float, trained: Sequence[float]) -> NDArray[np.float32]:
    """Rates estimated from image heights, f32[n]: the `nearest_rate` to height / full_height.

    Wu et al., TIP 2023, assume resolutions to be known, or to be estimated in this way.

    Args:
        heights: in pixels, as the method sees the images.
        full_height: height of an image at rate 1.
        trained: rates to choose from; 1 is always among them.

    Example:
        >>> from_heights([300, 128, 70], 256, trained=(2, 3, 4)).tolist()
        [1.0, 2.0, 4.0]
    """
    distinct, which = np.unique(np.asarray(heights, dtype=np.float64), return_inverse=True)
    nearest = [nearest_rate(Fraction(height) / Fraction(full_height), (1.0, *trained)) for height in distinct.tolist()]
    return np.array(nearest, dtype=np.float32)[which]
