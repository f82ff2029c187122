"""Offsets from LR to HR features, person by person: do they point one way?

The offset of a person is the mean of HR minus LR over the person's images, so each person counts once. What VPFA prints
(the cosine of two halves, the correlation of each person with the mean) depends on how many people there are: means of
more people have less noise. What does not is the mean cosine between the offsets of two different people
(`Offsets.consistency`), and the angle between the mean offsets of two rates (`angle`); both leave products of a person
with itself out, as these would count noise as direction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.analysis.people import Floats, checked, halves, means
from crbench.errors import DataError
from crbench.statistics import interval_over_people
from crbench.statistics.draws import drawn_signs

Replicated = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""A number f64[b, 1] for weights of people f64[b, n]; see `crbench.statistics.interval_over_people`."""


@attrs.frozen
class Estimate:
    """A number with its 95 % interval over people."""

    value: float
    low: float
    high: float


def estimate(people: NDArray[np.int64], function: Replicated) -> Estimate:
    """What a function gives for all people, with its interval."""
    low, high = interval_over_people(people, function)
    return Estimate(float(function(np.ones((1, len(people))))[0, 0]), float(low[0]), float(high[0]))


def identity_correlations(
    lr: Floats, hr: Floats, pids: NDArray[np.int64], groups: int | None = None, leave_one_out: bool = False
) -> NDArray[np.float64]:
    """Pearson's correlation, over the columns, of each person's offset with the mean offset of all people: f64[p].

    Args:
        lr, hr: features [n, D] of the same images.
        pids: i64[n]; results are in their ascending order.
        groups: so many people, in ascending order, are one group, whose offset is the mean of theirs; f64[p // groups],
            people who are left over are in none. VPFA's text has 25 groups of 2, its script and its numbers have none.
        leave_one_out: the mean of all *other* people. Without it each person is in the mean that it is compared with,
            which gives offsets without any direction a correlation of about 1 / sqrt(p).

    Raises:
        DataError: unequal shapes, values that are not finite, fewer than 2 groups.

    Example:
        >>> lr = np.random.default_rng(0).normal(size=(6, 8))
        >>> identity_correlations(lr, lr + np.arange(8), np.array([1, 1, 2, 2, 3, 3])).round(6).tolist()
        [1.0, 1.0, 1.0]
    """
    offsets = Offsets.of(lr, hr, pids)
    mean, single = offsets.x.mean(axis=0), offsets.x
    if groups is not None:
        kept = len(single) // groups * groups
        single = single[:kept].reshape(-1, groups, single.shape[1]).mean(axis=1)
    if len(single) < 2:
        raise DataError(f"{len(offsets.people)} people; expected at least 2 groups of them")
    size, people = groups or 1, len(offsets.x)
    others = (people * mean - size * single) / (people - size) if leave_one_out else mean
    return pearson(single, np.broadcast_to(others, single.shape))


def direction_cosine(lr: Floats, hr: Floats, pids: NDArray[np.int64], seed: int) -> float:
    """Cosine between the mean offsets of two halves of the people, drawn by `seed` (VPFA, Table 1).

    It does not depend on which LR image belongs to which HR image of a half, as it is a difference of two means; and it
    goes to 1 with more people as soon as both domains have different means.

    Raises:
        DataError: unequal shapes, values that are not finite, fewer than 4 people.
    """
    return Offsets.of(lr, hr, pids).halves_cosine(seed)


def pearson(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlation of each row of f64[n, D] with the row beside it, f64[n]; 0 for a row without variation."""
    x, y = (side - side.mean(axis=1, keepdims=True) for side in (x, y))
    return _ratio((x * y).sum(axis=1), (x**2).sum(axis=1) * (y**2).sum(axis=1))


def _ratio(products: NDArray[np.float64], squares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Products over the roots of products of squared lengths; 0 where a length is 0."""
    products, squares = np.asarray(products), np.asarray(squares)
    known = squares > 0
    lengths = np.sqrt(squares, out=np.ones_like(squares), where=known)
    found: NDArray[np.float64] = np.divide(products, lengths, out=np.zeros_like(products), where=known)
    return found


@attrs.frozen(eq=False)
class Offsets:
    """The offset of each person, f64[p, D], in ascending order of `people` i64[p]."""

    people: NDArray[np.int64]
    x: NDArray[np.float64]

    @classmethod
    def of(cls, lr: Floats, hr: Floats, pids: NDArray[np.int64]) -> Self:
        """The offsets of images.

        Raises:
            DataError: unequal shapes, values that are not finite, or LR features that are the HR ones.
        """
        narrow, wide = checked(lr, hr, pids)
        if not (wide != narrow).any():
            raise DataError(
                f"LR and HR features of all {len(narrow)} images are equal, so there is no offset that could have a "
                "direction"
            )
        return cls(*means(wide - narrow, pids))

    def halves_cosine(self, seed: int) -> float:
        """See `direction_cosine`."""
        first = halves(self.people, seed)
        one, other = self.x[first].mean(axis=0), self.x[~first].mean(axis=0)
        return float(_ratio(one @ other, (one @ one) * (other @ other)))

    def chance_cosines(self, seed: int, permutations: int) -> NDArray[np.float64]:
        """`halves_cosine` f64[permutations] of offsets like these without a common direction.

        Such are these offsets less their mean, each pointing forwards or backwards by chance.
        """
        first = halves(self.people, seed)
        rest = self.x - self.x.mean(axis=0)
        gram = rest @ rest.T

        def product(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
            products: NDArray[np.float64] = ((one @ gram) * other).sum(axis=1)
            return products

        found = []
        for signs in drawn_signs(self.people, seed, permutations):
            one, other = signs * first, signs * ~first
            found.append(_ratio(product(one, other), product(one, one) * product(other, other)))
        return np.concatenate(found)

    def chance_correlations(self, seed: int, permutations: int) -> NDArray[np.float64]:
        """`identity_correlations` f64[permutations, p] of such offsets."""
        rest = self.x - self.x.mean(axis=0)
        rest -= rest.mean(axis=1, keepdims=True)
        gram = rest @ rest.T
        own = np.diagonal(gram)
        found = []
        for signs in drawn_signs(self.people, seed, permutations):
            products = signs * (signs @ gram)
            found.append(_ratio(products, own * products.sum(axis=1, keepdims=True)))
        return np.concatenate(found)

    def broken_correlations(
        self, lr: NDArray[np.float64], pids: NDArray[np.int64], seed: int, permutations: int
    ) -> NDArray[np.float64]:
        """`identity_correlations` f64[permutations, p] where each person's LR mean has the HR mean of any person.

        Args:
            lr, pids: the LR features of these offsets.
        """
        narrow = means(lr, pids)[1]
        wide = narrow + self.x
        generator = np.random.default_rng(seed)
        found = []
        for _ in range(permutations):
            broken = wide[generator.permutation(len(wide))] - narrow
            found.append(pearson(broken, np.broadcast_to(broken.mean(axis=0), broken.shape)))
        return np.stack(found)

    def consistency(self) -> Estimate:
        """Mean cosine between the offsets of two different people; 0 without a common direction, 1 for equal ones."""
        gram = self.x @ self.x.T
        own = np.diagonal(gram)
        return estimate(self.people, _between_people(_ratio(gram, np.outer(own, own))))

    def length(self) -> Estimate:
        """Length of the mean offset of all people like these."""
        between = _between_people(self.x @ self.x.T)
        return estimate(self.people, lambda weights: np.sqrt(between(weights).clip(min=0)))


def angle(one: Offsets, other: Offsets) -> Estimate:
    """Angle in degrees between the mean offsets of the same people at two rates; NaN where one has no direction."""
    products = [_between_people(a.x @ b.x.T) for a, b in ((one, other), (one, one), (other, other))]

    def degrees(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        both, first, second = (product(weights) for product in products)
        cosines = np.full_like(both, np.nan)
        known = (first > 0) & (second > 0)
        np.divide(both, np.sqrt(first * second, where=known, out=np.ones_like(both)), out=cosines, where=known)
        found: NDArray[np.float64] = np.degrees(np.arccos(cosines.clip(-1, 1)))
        return found

    return estimate(one.people, degrees)


def _between_people(gram: NDArray[np.float64]) -> Replicated:
    """The mean f64[b, 1] of f64[p, p] over pairs of different people who are there ``weights`` times."""
    own = np.diagonal(gram)

    def mean(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        total, squares = weights.sum(axis=1), weights**2
        sums = ((weights @ gram) * weights).sum(axis=1) - squares @ own
        pairs = total**2 - squares.sum(axis=1)
        found = np.full(len(weights), np.nan)
        np.divide(sums, pairs, out=found, where=pairs > 0)
        return found[:, None]

    return mean
