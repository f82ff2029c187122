"""Canonical correlations of LR and HR features: how much of one side linear maps find in the other.

Both sides are centred and written in orthonormal bases; the singular values of the product of these are the
correlations (Bjoerck and Golub, Mathematics of Computation 1973). With few rows for each column they are high for
features that have nothing to do with each other, so beside them stand those of broken pairs (`canonical_table`) and
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
from scipy.sparse.linalg import svds

from crbench.analysis.people import Floats, checked, halves
from crbench.errors import DataError
from crbench.statistics import interval_over_people

_SINGULAR = 1e-6
"""Directions whose length is a smaller share of the longest one are none: features are float32, and some columns of a
network are dead but for rounding."""

_EQUAL = 1e-6
"""Correlations that are closer have no variates of their own, but span them together."""

_SMALL = 256
"""Directions of a side up to which all singular values are computed."""

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
    return _Sides.of(lr, hr, components).correlations()


def script_ratios(lr: Floats, hr: Floats, components: int = 3) -> NDArray[np.float64]:
    """What VPFA's ``CCA.py`` prints of each pair of variates, ``|cov| / (var + var)``: f64[components].

    At most half of the canonical correlation, and not in descending order: the variates are those of scikit-learn's
    ``CCA``, once converged, whose weights have unit length, so that their variances differ.

    Raises:
        DataError: see `canonical_correlations`.
    """
    return _Sides.of(_scaled(lr), _scaled(hr), components).ratios()


@attrs.frozen(eq=False)
class CanonicalTable:
    """Canonical correlations and script ratios of pairs, and where pairs are broken: f64[k], f64[permutations, k].

    Attributes:
        largest: f64[k], the share of each variate's variance that the LR side of a single image makes; of equal
            correlations, of the variates that they span. A column that is not zero for one image only, as networks have
            them, gives a correlation of 1.
    """

    correlations: NDArray[np.float64]
    largest: NDArray[np.float64]
    ratios: NDArray[np.float64]
    broken_correlations: NDArray[np.float64]
    broken_ratios: NDArray[np.float64]


def canonical_table(
    lr: Floats, hr: Floats, components: int = 3, *, permutations: int = 20, seed: int = 0
) -> CanonicalTable:
    """`canonical_correlations` and `script_ratios`, and both where each LR row has any HR row, several times.

    Raises:
        DataError: see `canonical_correlations`.
    """
    plain, scaled = _Sides.of(lr, hr, components), _Sides.of(_scaled(lr), _scaled(hr), components)
    generator = np.random.default_rng(seed)
    orders = [generator.permutation(len(lr)) for _ in range(permutations)]
    return CanonicalTable(
        correlations=plain.correlations(),
        largest=plain.largest(),
        ratios=scaled.ratios(),
        broken_correlations=np.array([plain.shuffled(order).correlations() for order in orders]),
        broken_ratios=np.array([scaled.shuffled(order).ratios() for order in orders]),
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

    def unit_variances(self, coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        """Variances f64[k] of variates ``rows @ coefficients`` once the weights of the features have unit length.

        scikit-learn removes each variate before it looks for the next one, and takes the shortest weights; what is left
        of the weights of variate k are then those that no earlier variate has.
        """
        lengths = np.abs(np.diagonal(linalg.qr(self.weights @ coefficients, mode="economic")[1]))
        variances: NDArray[np.float64] = 1 / ((len(self.rows) - 1) * lengths**2)
        return variances


@attrs.frozen(eq=False)
class _Sides:
    """LR and HR features in orthonormal bases, and how many variates are looked at."""

    lr: _Basis
    hr: _Basis
    components: int

    @classmethod
    def of(cls, lr: Floats, hr: Floats, components: int) -> Self:
        if len(lr) != len(hr):
            raise DataError(f"{len(lr)} LR rows against {len(hr)} HR rows; each LR row needs the HR row of its image")
        sides = _Basis.of(np.asarray(lr, dtype=np.float64)), _Basis.of(np.asarray(hr, dtype=np.float64))
        least = min(side.rows.shape[1] for side in sides)
        if components > least:
            raise DataError(f"{components} canonical correlations asked for; these features span {least} directions")
        return cls(*sides, components)

    def shuffled(self, order: NDArray[np.intp]) -> Self:
        return attrs.evolve(self, hr=attrs.evolve(self.hr, rows=self.hr.rows[order]))

    def correlations(self) -> NDArray[np.float64]:
        return self._top()[1].clip(max=1.0)

    def largest(self) -> NDArray[np.float64]:
        left, values, _ = self._top()
        squares = (self.lr.rows @ left) ** 2
        equal = np.abs(np.subtract.outer(values, values)) < _EQUAL
        found: NDArray[np.float64] = (squares @ equal).max(axis=0)
        return found

    def ratios(self) -> NDArray[np.float64]:
        left, values, right = self._top()
        one, other = self.lr.unit_variances(left), self.hr.unit_variances(right)
        found: NDArray[np.float64] = values * np.sqrt(one * other) / (one + other)
        return found

    def _top(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """The largest singular values of the product of both bases, f64[k], descending, and their vectors f64[r, k]."""
        product = self.lr.rows.T @ self.hr.rows
        if min(product.shape) <= _SMALL:
            left, values, right = linalg.svd(product, full_matrices=False)
        else:  # a few of many are found much faster than all
            start = np.full(min(product.shape), 1.0)
            left, values, right = svds(product, k=self.components, v0=start, solver="arpack")
        order = np.argsort(-values)[: self.components]
        return left[:, order], values[order], right[order].T


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
        centred = side[fitted] - centre
        dim = centred.shape[1]
        squares, directions = linalg.eigh(centred.T @ centred, subset_by_index=(dim - rank, dim - 1))
        kept = squares > _SINGULAR**2 * squares[-1]
        maps.append((centre, directions[:, kept] / np.sqrt(squares[kept])))
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
