"""Made features whose truth is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Made = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]
"""LR features, HR features, pids."""


def made(
    people: int = 60,
    images: int = 4,
    columns: int = 12,
    *,
    shift: float = 0.0,
    of_person: float = 0.0,
    noise: float = 0.3,
    seed: int = 0,
) -> Made:
    """HR is LR plus a shift of this length that all share, one of each person, and noise, in any direction each.

    The last two are given as their mean length per column. Pids are not contiguous and in no order.
    """
    draw = np.random.default_rng(seed)
    pids = draw.permutation(np.repeat(3 * np.arange(people) + 5, images))
    places = (pids - 5) // 3
    common = draw.normal(size=columns)
    lr = 2 * draw.normal(size=(people, columns))[places] + 0.5 * draw.normal(size=(len(pids), columns))
    own = of_person * draw.normal(size=(people, columns))[places]
    hr = lr + shift * common / np.linalg.norm(common) + own + noise * draw.normal(size=lr.shape)
    return lr, hr, pids
