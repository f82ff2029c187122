"""Canonical correlations of LR and HR features: how much of one side linear maps find in the other.

Both sides are centred and written in orthonormal bases; the singular values of the product of these are the
correlations (Bjoerck and Golub, Mathematics of Computation 1973). With few rows for each column they are high for
features that have nothing to do with each other, so beside them stand those of broken pairs (`broken_correlations`) and
those of maps that were fitted on other people (`held_out_correlations`).

VPFA's public script divides the covariance of two variates by the *sum* of their variances. That is at most half of the
correlation, and less where the variances differ, which depends on how scikit-learn scales variates; `script_ratios`
gives that number under its own name, so that it can be set beside the paper's Table 2a.
"""

from __future__ import annotations

from typing import Self

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from crbench.analysis.people import Floats, checked, halves
from crbench.errors import DataError
from crbench.statistics import interval_over_people

_SINGULAR = 1e-6
"""Directions whose length is a smaller share of the longest one are none: features are float32, and some columns of a
network are dead but for rounding."""

_PEOPLE_PER_COLUMN = 2
"""People, at least, for each principal component that held-out maps are fitted on."""


def canonical_correlations(lr: Floats, hr: Floats, components: int = 3) -> NDArray[np.float64]:
    """The largest canonical correlations, f64[components], descending.

    Args:
        lr, hr: features [n, D] and [n, E] of the same images, row by row.

    Raises:
        DataError: unequal numbers of rows, or features that span fewer directions than `components`.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(100, 4))
        >>> canonical_correlations(x, x @ [[1.0, 2, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1]]).round(6).tolist()
        [1.0, 1.0, 1.0]
    """
    return _correlations(*_bases(lr, hr, components), components)


def script_ratios(lr: Floats, hr: Floats, components: int = 3) -> NDArray[np.float64]:
    """What VPFA's ``CCA.py`` prints: |covariance| / (variance + variance) of each pair of variates, f64[components].

    At most half of the canonical correlation, and not in descending order: the variates are those of scikit-learn's
    ``CCA``, once converged, whose weights have unit length, so that their variances differ.

    Raises:
        DataError: see `canonical_correlations`.
    """
    return _ratios(*_bases(_scaled(lr), _scaled(hr), components), components)


def broken_correlations(
    lr: Floats, hr: Floats, components: int = 3, *, permutations: int = 20, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Canonical correlations and script ratios, f64[permutations, components] each, where each LR row has any HR row.

    Raises:
        DataError: see `canonical_correlations`.
    """
    generator = np.random.default_rng(seed)
    one, other = _bases(_scaled(lr), _scaled(hr), components)
    pairs = [(one, other.shuffled(generator.permutation(len(lr)))) for _ in range(permutations)]
    return (
        np.array([_correlations(*pair, components) for pair in pairs]),
        np.array([_ratios(*pair, components) for pair in pairs]),
    )


@attrs.frozen(eq=False)
class HeldOut:
    """Correlations of variates whose maps were fitted on other people.

    Attributes:
        values: f64[k], means over both halves of the people.
        low, high: f64[k], 95 % interval over people, for these maps.
        rank: principal components of each side that the maps were fitted on.
    """

    values: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    rank: int


def held_out_correlations(
    lr: Floats, hr: Floats, pids: NDArray[np.int64], components: int = 3, *, seed: int = 0
) -> HeldOut:
    """Fit the maps on one half of the people and correlate their variates on the other half, both ways.

    The maps are fitted on the leading principal components of each side, one for two people at most.

    Raises:
        DataError: see `canonical_correlations`; fewer than 4 people.
    """
    lr, hr = checked(lr, hr, pids)
    first = halves(pids, seed)
    fewest = min(len(np.unique(pids[own])) for own in (first, ~first))
    rank = max(components, min(lr.shape[1], fewest // _PEOPLE_PER_COLUMN))
    people, places = np.unique(pids, return_inverse=True)
    sums = []
    for fitted in (first, ~first):
        one, other = _variates(lr, hr, fitted, rank, components)
        terms = np.stack([np.ones_like(one), one, other, one * one, other * other, one * other], axis=2)
        own = np.zeros((len(people), components, 6))
        np.add.at(own, places[~fitted], terms[~fitted])
        sums.append(own)

    def correlations(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        one, other = (_pearson(np.tensordot(weights, own, axes=1)) for own in sums)
        return (one + other) / 2

    low, high = interval_over_people(people, correlations, shares=np.bincount(places).astype(float))
    return HeldOut(values=correlations(np.ones((1, len(people))))[0], low=low, high=high, rank=rank)


@attrs.frozen(eq=False)
class _Basis:
    """Centred features f64[n, D] in an orthonormal basis.

    Attributes:
        rows: f64[n, r], orthonormal columns.
        weights: f64[D, r], the shortest that give these columns from the features.
    """

    rows: NDArray[np.float64]
    weights: NDArray[np.float64]

    @classmethod
    def of(cls, x: NDArray[np.float64]) -> Self:
        rows, triangle = linalg.qr(x - x.mean(axis=0), mode="economic")
        diagonal = np.abs(np.diagonal(triangle))
        if len(x) > x.shape[1] and diagonal.min() > _SINGULAR * diagonal.max():
            return cls(rows, linalg.solve_triangular(triangle, np.eye(len(triangle))))
        left, lengths, right = linalg.svd(triangle, full_matrices=False)
        kept = lengths > _SINGULAR * lengths.max(initial=0.0)
        return cls(rows @ left[:, kept], right[kept].T / lengths[kept])

    def shuffled(self, order: NDArray[np.intp]) -> Self:
        return attrs.evolve(self, rows=self.rows[order])

    def unit_variances(self, coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        """Variances f64[k] of variates ``rows @ coefficients`` once the weights of the features have unit length.

        scikit-learn removes each variate before it looks for the next one, and takes the shortest weights; what is left
        of the weights of variate k are then those that no earlier variate has.
        """
        lengths = np.abs(np.diagonal(linalg.qr(self.weights @ coefficients, mode="economic")[1]))
        variances: NDArray[np.float64] = 1 / ((len(self.rows) - 1) * lengths**2)
        return variances


def _bases(lr: Floats, hr: Floats, components: int) -> tuple[_Basis, _Basis]:
    if len(lr) != len(hr):
        raise DataError(f"{len(lr)} LR rows against {len(hr)} HR rows; each LR row needs the HR row of its image")
    bases = _Basis.of(np.asarray(lr, dtype=np.float64)), _Basis.of(np.asarray(hr, dtype=np.float64))
    least = min(basis.rows.shape[1] for basis in bases)
    if components > least:
        raise DataError(f"{components} canonical correlations asked for; these features span {least} directions")
    return bases


def _correlations(one: _Basis, other: _Basis, components: int) -> NDArray[np.float64]:
    found: NDArray[np.float64] = linalg.svd(one.rows.T @ other.rows, compute_uv=False)
    return found[:components].clip(max=1.0)


def _ratios(one: _Basis, other: _Basis, components: int) -> NDArray[np.float64]:
    left, found, right = linalg.svd(one.rows.T @ other.rows, full_matrices=False)
    variances = one.unit_variances(left[:, :components]), other.unit_variances(right[:components].T)
    ratios: NDArray[np.float64] = found[:components] * np.sqrt(variances[0] * variances[1]) / sum(variances)
    return ratios


def _scaled(x: Floats) -> NDArray[np.float64]:
    """Each column divided by its deviation, as scikit-learn does; a constant one as it is."""
    wide = np.asarray(x, dtype=np.float64)
    deviation = wide.std(axis=0, ddof=1)
    return wide / np.where(deviation > 0, deviation, 1.0)


def _variates(
    lr: NDArray[np.float64], hr: NDArray[np.float64], fitted: NDArray[np.bool_], rank: int, components: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Variates f64[n, components] of all rows, by maps of the fitted ones."""
    maps = []
    for side in (lr, hr):
        centre = side[fitted].mean(axis=0)
        _, lengths, right = linalg.svd(side[fitted] - centre, full_matrices=False)
        kept = min(rank, int((lengths > _SINGULAR * lengths[0]).sum()))
        maps.append((centre, right[:kept].T / lengths[:kept]))
    if min(whitened.shape[1] for _, whitened in maps) < components:
        raise DataError(f"{components} canonical correlations asked for; half of the people span fewer directions")
    rows = [(side - centre) @ whitened for side, (centre, whitened) in zip((lr, hr), maps, strict=True)]
    left, _, right = linalg.svd(rows[0][fitted].T @ rows[1][fitted], full_matrices=False)
    return rows[0] @ left[:, :components], rows[1] @ right[:components].T


def _pearson(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlations f64[...] from sums f64[..., 6] of 1, x, y, x * x, y * y, x * y."""
    count, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        covariance, spread = xy - x * y / count, (xx - x * x / count) * (yy - y * y / count)
        found: NDArray[np.float64] = covariance / np.sqrt(spread)
    return found
