"""CMC curves of galleries that show one image of each person: sums of independent Bernoulli variables, compiled.

Each person shows one of the valid images, drawn uniformly and independently. For a positive, the image of another
person j is ahead with probability p_j, the share of j's images that are. Its rank is 1 plus a sum of independent
Bernoulli(p_j), so CMC at k is a Poisson-binomial probability. A query's curve is the mean over its positives, each of
which is drawn with equal probability.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from crbench.jit import compiled
from crbench.ranking.threads import Workers

_NEGLIGIBLE = 1e-30
"""A probability that small is taken for 0; far below the rounding of any score."""


@compiled("void(i8, i8, i4[:, ::1], i8[::1], f8[:, ::1])")
def _place(start, stop, ahead, sizes, within):  # type: ignore[no-untyped-def]
    """Fill rows of `within`, first with P(so many ahead), cut at the last rank asked for."""
    ranks, width = within.shape[1], ahead.shape[1]
    for row in range(start, stop):
        mass, certain = within[row], np.int64(ahead[row, 0])
        mass[:] = 0.0
        for column in range(1, width):
            certain += ahead[row, column] == sizes[column]
        if certain >= ranks:
            continue
        mass[certain] = 1.0
        last = certain  # none is larger yet
        for column in range(1, width):
            if 0 < ahead[row, column] < sizes[column]:
                chance = ahead[row, column] / sizes[column]
                last = min(last + 1, ranks - 1)
                for rank in range(last, certain, -1):
                    mass[rank] = mass[rank] * (1 - chance) + mass[rank - 1] * chance
                mass[certain] *= 1 - chance
            if column % 16 == 1 and mass.sum() <= _NEGLIGIBLE:
                break
        total = 0.0
        for rank in range(ranks):
            total += mass[rank]
            mass[rank] = min(total, 1.0)


def expected_curve(
    ahead: NDArray[np.integer], starts: NDArray[np.integer], sizes: NDArray[np.intp], length: int
) -> NDArray[np.float64]:
    """f64[q, length], the expected CMC curves of queries that each have a positive.

    Args:
        ahead: integers [P, width], images ahead of each positive, per identity; see `placed_within`.
        starts: integers [q + 1]; the positives of query i are ``starts[i]`` to ``starts[i + 1] - 1``.
        sizes: intp[width], images per identity.
        length: of the curves.
    """
    curves = placed_within(ahead, sizes, length)
    # sorted, so that the sum does not depend on the order of the gallery
    means = [np.sort(mine, axis=0).sum(axis=0) / len(mine) for mine in np.split(curves, starts[1:-1])]
    return np.array(means)


def placed_within(ahead: NDArray[np.integer], sizes: NDArray[np.intp], ranks: int) -> NDArray[np.float64]:
    """Probability that a positive is placed within rank 1, 2, ... `ranks`: f64[p, ranks].

    With p_j the share of identity j's images that are ahead, the place is 1 plus a sum of independent Bernoulli(p_j),
    one for each identity; columns are added in order, so that equal counts give equal bits.

    Args:
        ahead: integers below 2**31 [p, width], images ahead, per identity; column 0 counts identities of one image.
        sizes: intp[width], images per identity.

    Example:
        >>> placed_within(np.array([[1, 1, 2]]), np.array([7, 2, 2]), 4).tolist()  # two are ahead, a third may be
        [[0.0, 0.0, 0.5, 1.0]]
    """
    within = np.empty((len(ahead), ranks))
    arrays = np.ascontiguousarray(ahead, dtype=np.int32), sizes.astype(np.int64), within
    Workers.on(torch.device("cpu")).share(lambda start, stop: _place(start, stop, *arrays), len(ahead), ahead.shape[1])
    return within
