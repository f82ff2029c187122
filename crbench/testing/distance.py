"""The rules of a distance: query and gallery features to f32[q, g]."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import attrs
import numpy as np
import torch
from torch import Tensor

from crbench.arrays import Array
from crbench.records import NEEDS, Features, TestFeatures
from crbench.registry.contract import close, other_companions
from crbench.testing.fakes import random_features
from crbench.testing.require import another_order, no_global_change, require, same


@attrs.frozen(slots=False, eq=False)
class Case:
    """A distance on features in one cluster per person."""

    factory: Callable[[], Callable[[TestFeatures, TestFeatures], Array]]

    @property
    def query(self) -> Features:
        """The same features each time, in memory of their own."""
        return random_features(rates=(2,), seed=0)

    @property
    def gallery(self) -> Features:
        """As `query`, at rate 1."""
        return random_features(rates=(1,), seed=0)

    @cached_property
    def distance(self) -> Callable[[TestFeatures, TestFeatures], Array]:
        """Built once."""
        try:
            made: object = self.factory()
        except TypeError as error:
            raise AssertionError(
                f"a distance needs a target that is called without arguments and gives the distance: {error}"
            ) from error
        if not callable(made):
            raise AssertionError(f"{made!r} cannot be called")
        return made

    def measure(self, query: Features, gallery: Features) -> Tensor:
        """Distances [q, g]; the distance sees all that it can ask for."""
        found: object = self.distance(TestFeatures.of(query, NEEDS), TestFeatures.of(gallery, NEEDS))
        if not hasattr(found, "shape"):
            raise AssertionError(f"the distance returned {type(found).__name__}, not an array")
        return torch.as_tensor(found)

    @cached_property
    def found(self) -> Tensor:
        """Distances of all queries to all of the gallery."""
        return self.measure(self.query, self.gallery)


def interface(case: Case) -> None:
    """A distance can be called."""
    require(callable(case.distance), "a distance must be callable")


def shape(case: Case) -> None:
    """There is one row for each query and one column for each gallery item."""
    some, gallery = case.query.take(np.arange(7)), case.gallery
    found, expected = tuple(case.measure(some, gallery).shape), (len(some), len(gallery))
    require(found == expected, f"distances have shape {found}, not {expected}")


def dtype(case: Case) -> None:
    """Distances are float32."""
    require(case.found.dtype == torch.float32, f"distances are {case.found.dtype}, not float32")


def finite(case: Case) -> None:
    """Distances are finite."""
    require(bool(torch.isfinite(case.found).all()), "distances are not finite")


def no_gradient(case: Case) -> None:
    """Distances carry no gradient."""
    require(not case.found.requires_grad, "distances carry gradients; detach them")


def zero_features(case: Case) -> None:
    """Distances to features that are all zero, as of a dead network, are finite."""
    gallery = case.gallery
    found = case.measure(case.query, attrs.evolve(gallery, x=torch.zeros_like(gallery.x)))
    wanted = bool(torch.isfinite(case.found).all())  # else `finite` tells
    require(not wanted or bool(torch.isfinite(found).all()), "distances to features that are all zero are not finite")


def global_state(case: Case) -> None:
    """A distance leaves seeds, threads and other settings of the process as they are."""
    distance, query, gallery = case.distance, case.query, case.gallery
    sides = TestFeatures.of(query, NEEDS), TestFeatures.of(gallery, NEEDS)
    with no_global_change("the distance"):
        distance(*sides)


def input_kept(case: Case) -> None:
    """The features stay as they are."""
    query, gallery = case.query, case.gallery
    case.measure(query, gallery)
    require(same(query.x, case.query.x) and same(gallery.x, case.gallery.x), "the distance changed its input")


def repeatable(case: Case) -> None:
    """Two calls give the same distances."""
    first, again = (case.measure(case.query, case.gallery) for _ in range(2))
    require(same(first, again), "two calls differ")


def permutation(case: Case) -> None:
    """The distance of two rows does not depend on their places."""
    rows, columns = len(case.query), len(case.gallery)
    if case.found.shape != (rows, columns):
        return  # the check `shape` reports it
    order = another_order(columns)
    moved = case.measure(case.query, case.gallery.take(order))
    require(close(moved, case.found[:, order]), "another order of the gallery gives other distances")
    order = another_order(rows)
    moved = case.measure(case.query.take(order), case.gallery)
    require(close(moved, case.found[order]), "another order of the queries gives other distances")


def companions(case: Case) -> None:
    """The distance of two rows does not depend on the other rows."""
    query, gallery = case.query, case.gallery
    if case.found.shape != (len(query), len(gallery)):
        return  # the check `shape` reports it
    others = [other_companions(side.rows.rates) for side in (query, gallery)]
    rows, items = (np.flatnonzero(other == np.arange(len(other))) for other in others)
    found = case.measure(query.take(others[0]), gallery.take(others[1]))
    message = "the distance of two rows depends on the other rows; say transductive=True in the entry if it is meant to"
    require(close(found[rows][:, items], case.found[rows][:, items]), message)


def smaller_is_closer(case: Case) -> None:
    """Features of one person are nearer than those of two."""
    pids = case.query.rows.pids[:, None] == case.gallery.rows.pids[None, :]
    one_person = torch.from_numpy(pids).to(case.found.device)
    if one_person.shape == case.found.shape:
        found = case.found.detach()
        near, far = float(found[one_person].mean()), float(found[~one_person].mean())
        # NaN is for the check of finite values
        require(not near >= far, "features of one person are farther apart than those of two; smaller must mean closer")


RULES: Sequence[Callable[[Case], None]] = (
    interface,
    shape,
    dtype,
    finite,
    no_gradient,
    zero_features,
    global_state,
    input_kept,
    repeatable,
    permutation,
    companions,
    smaller_is_closer,
)
