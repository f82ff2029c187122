"""Rates and levels: the data state at which rate an image is, a method which of its trained rates stands for it.

A level is an index from 1 (lowest resolution) to m into the m rates that a method was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

Assign = Literal["nearest", "finer", "coarser"]
"""Which trained rate stands for one that was not trained: nearest in 1/r, or the next one of higher or lower detail."""

ASSIGNMENTS: tuple[Assign, ...] = get_args(Assign)


def quantise(rates: ArrayLike, trained: Sequence[float], assign: Assign = "nearest") -> NDArray[np.int64]:
    """The level of each rate, i64[n]; a trained rate has its own level whatever `assign` says.

    Args:
        rates: down-sampling rates, at least 1.
        trained: rates of the levels, in any order.
        assign: ``nearest`` in 1/r, that is in image size (of two equally near ones the finer); ``finer``: the next
            smaller trained rate; ``coarser``: the next larger one. Beyond the trained rates the outermost is taken.

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
    coarser = np.searchsorted(known, wanted, side="left").clip(0, len(known) - 1)
    finer = (np.searchsorted(known, wanted, side="right") - 1).clip(0, len(known) - 1)
    if assign == "nearest":
        finer_is_nearer = np.abs(1 / known[finer] - 1 / wanted) <= np.abs(1 / known[coarser] - 1 / wanted)
        chosen = np.where(finer_is_nearer, finer, coarser)
    else:
        chosen = finer if assign == "finer" else coarser
    return (len(known) - chosen).astype(np.int64)


def from_heights(heights: ArrayLike, full_height: float, trained: Sequence[float]) -> NDArray[np.float32]:
    """Rates estimated from image heights: the trained rate whose 1/r is nearest to height / full_height.

    Wu et al., TIP 2023, assume resolutions to be known, or to be estimated in this way.

    Args:
        heights: in pixels, as the method sees the images.
        full_height: height of an image at rate 1.
        trained: rates to choose from; 1 is always among them.

    Example:
        >>> from_heights([300, 128, 70], 256, trained=(2, 3, 4)).tolist()
        [1.0, 2.0, 4.0]
    """
    known = np.unique(np.asarray([1.0, *trained], dtype=np.float32))
    ratios = np.asarray(heights, dtype=np.float64) / full_height
    distance = np.abs(ratios[:, None] - 1 / known[None, :].astype(np.float64))
    nearest: NDArray[np.float32] = known[distance.argmin(axis=1)]
    return nearest
