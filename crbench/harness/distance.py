"""Step 8, a part: the distance of a plugin, guarded, and checked in every run as a transform is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from crbench.api.interfaces import Distance
from crbench.arrays import Array, as_floats
from crbench.errors import PluginError
from crbench.evaluation.custom_distance import DistanceError
from crbench.records import Features, TestFeatures, blind_order
from crbench.registry.contract import close, other_companions, other_draws
from crbench.registry.guard import plugin_stage
from crbench.registry.resolve import Resolved

_QUERIES, _ITEMS = 64, 1024
"""Rows of both sides, at most, that are compared twice more."""


def guarded(custom: Resolved) -> Distance:
    """The distance; whatever goes wrong in it names its plugin."""
    distance: Distance = custom.build()

    def call(query: TestFeatures, gallery: TestFeatures) -> torch.Tensor:
        with plugin_stage(custom.registered.owner, "distance", passing=()):
            found = distance(query, gallery)
            if isinstance(found, torch.Tensor) and found.layout is not torch.strided:
                raise ValueError("it gave a sparse tensor; expected a dense one")
            if (shape := tuple(np.shape(found))) != (len(query), len(gallery)):
                raise ValueError(f"it gave distances of shape {shape}; expected {(len(query), len(gallery))}")
            return as_floats(found)

    return call


@contextmanager
def naming(custom: Resolved | None) -> Iterator[None]:
    """Inside, what a distance gives and nobody can rank names its plugin."""
    try:
        yield
    except DistanceError as error:
        if custom is None:
            raise
        raise PluginError(f"{custom.registered.owner} failed at distance: {error}") from error


def check_distance(custom: Resolved, query: Features, gallery: Features) -> None:
    """Refuse a distance of two rows that depends on the rows beside them, unless its entry says so.

    Which queries share a block, and so the machine, would decide the order. A sample is compared twice, the second time
    with other companions at the same rates.

    Raises:
        PluginError: it fails, or distances of the others differ by more than `crbench.registry.contract.TOLERANCE`.
    """
    if custom.transductive:
        return
    distance, needs = guarded(custom), custom.needs
    sides = [_sample(query, _QUERIES), _sample(gallery, _ITEMS)]
    others = [other_companions(side.rows.rates) for side in sides]
    rows, items = (np.flatnonzero(other == np.arange(len(other))) for other in others)

    def measured(*shown: Features) -> torch.Tensor:
        return _distances(distance(*(TestFeatures.of(side, needs) for side in shown)), rows, items)

    before = measured(*sides)
    with other_draws():
        after = measured(*(side.take(other) for side, other in zip(sides, others, strict=True)))
    if not close(after, before):
        raise PluginError(
            f"{custom.registered.owner} failed at distance: that of two rows depends on the rows beside them, or is "
            "not the same twice; a method that is meant to do so says transductive=True in its entry"
        )


def _sample(side: Features, count: int) -> Features:
    """Some rows, in the order of their rates."""
    rows = blind_order(side.rows)[:count]
    return side.take(rows[np.argsort(side.rows.rates[rows], kind="stable")])


def _distances(given: Array, rows: NDArray[np.intp], items: NDArray[np.intp]) -> torch.Tensor:
    """A copy of the distances of some rows, as the plugin may use its memory again."""
    return as_floats(given)[rows][:, items].clone()
