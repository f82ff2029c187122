"""Distances of a plugin, block by block; every engine sees the same blocks and so the same numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial
from typing import TYPE_CHECKING

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from crbench.arrays import Array, as_floats, to_torch
from crbench.errors import EvaluationError
from crbench.ranking.interface import RankInputs, RankRows
from crbench.ranking.threads import Workers
from crbench.records import Features, Samples, TestFeatures, blind_order

if TYPE_CHECKING:
    from crbench.api.interfaces import Distance

_BLOCK = 1 << 24
"""Distances per block, 64 MiB of them; what is asked of a block costs as much as a few million of them."""


class DistanceError(EvaluationError):
    """What a distance of its own gives cannot be ranked."""


def with_distance(
    inputs: RankInputs, query: Features, gallery: Features, distance: Distance, needs: Collection[str]
) -> tuple[RankInputs, Samples]:
    """Checked inputs of which `distance` compares the rows, and the gallery rows in their order.

    The distance, and so the engines, get the gallery in the order of `crbench.records.blind_order`; their answers do
    not depend on it.

    Args:
        query, gallery: what `inputs` came from.
        needs: columns of the rows that the distance sees beside their rates.
    """
    order, side = blind_order(gallery.rows), inputs.gallery
    shown = attrs.evolve(gallery, x=side.x).take(order)
    index = torch.from_numpy(order).to(side.norms.device)
    return attrs.evolve(
        inputs,
        gallery=RankRows(shown.x, shown.rows.pids, side.dims[order], side.norms[index]),
        distances=partial(_blocks, attrs.evolve(query, x=inputs.query.x), shown, distance, needs),
    ), shown.rows


def _blocks(
    query: Features, gallery: Features, distance: Distance, needs: Collection[str], workers: Workers
) -> Iterator[tuple[NDArray[np.intp], torch.Tensor]]:
    """Query rows and their distances f32[b, g] to the whole gallery.

    Args:
        gallery: in the order in which the distance sees it.
        needs: columns of the rows that it sees beside their rates.
        workers: look for NaN, so that no thread of torch is awake when they count.

    Raises:
        DistanceError: the distance gives another shape or NaN, or changes the gallery, which other blocks get too.
    """
    count, width = len(query), len(gallery)
    size = max(1, _BLOCK // width)
    order, shown = blind_order(query.rows), TestFeatures.of(gallery, needs)
    before = _state(shown)
    for start in range(0, count, size):
        queries = order[start : start + size]
        given = distance(TestFeatures.of(query.take(queries), needs), shown)
        if _state(shown) != before:
            raise DistanceError("the distance changed the gallery that it was given; let it work on a copy")
        found = _comparable(given, query.x.device)
        if tuple(found.shape) != (len(queries), width):
            raise DistanceError(
                f"the distance gives an array of shape {tuple(found.shape)}; expected {(len(queries), width)}"
            )
        with workers.alone():  # a sum is several times faster than to look; infinities of both signs give NaN too
            sums = workers.run(torch.sum, [(found[start:stop],) for start, stop in workers.ranges(*found.shape)])
        if any(bool(part.isnan()) for part in sums):
            wrong = found.isnan().any(dim=1).nonzero()
            if len(wrong):
                raise DistanceError(f"the distance gives NaN for query row {queries[wrong[:, 0].cpu()].min()}")
        yield queries, found


def _comparable(given: Array, device: torch.device) -> torch.Tensor:
    """Numbers f32[b, g] that order each row as the distances `given` do, as only the order within a row counts.

    Where float32 would make a tie of distances that differ, such as 1 + 1e-10 and 1, the places of the distances in
    their sorted row stand for them.
    """
    wide = as_floats(given)
    narrow = to_torch(wide, device)
    if wide.dtype != torch.float64 or torch.equal(narrow.double(), wide.to(device)):
        return narrow
    nearest, order = wide.to(device).sort(dim=1)
    steps = (nearest[:, 1:] != nearest[:, :-1]).cumsum(dim=1)
    places = torch.cat([steps.new_zeros(len(steps), 1), steps], dim=1)
    found = torch.empty_like(narrow).scatter_(1, order, places.float())
    return found.masked_fill_(wide.isnan().to(device), torch.nan)


def _state(feats: TestFeatures) -> tuple[int, float]:
    """Changes with the features: torch counts what it writes in place; other writers show in the sum."""
    return 0 if feats.x.is_inference() else feats.x._version, float(feats.x.sum())
