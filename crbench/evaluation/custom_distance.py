"""Distances of a plugin, block by block; every engine sees the same blocks and so the same numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from crbench.arrays import to_torch
from crbench.errors import EvaluationError
from crbench.ranking.threads import Workers
from crbench.records import Features

if TYPE_CHECKING:
    from crbench.api.interfaces import Distance

_BLOCK = 1 << 24
"""Distances per block, 64 MiB of them; what is asked of a block costs as much as a few million of them."""


def blocks(
    query: Features, gallery: Features, distance: Distance, workers: Workers
) -> Iterator[tuple[NDArray[np.intp], torch.Tensor]]:
    """Query rows and their distances f32[b, g] to the whole gallery.

    Args:
        workers: look for NaN, so that no thread of torch is awake when they count.

    Raises:
        EvaluationError: the distance gives another shape or NaN.
    """
    count, width = len(query), len(gallery)
    size = max(1, _BLOCK // width)
    for start in range(0, count, size):
        queries = np.arange(start, min(start + size, count))
        found = to_torch(distance(query.take(queries), gallery), query.x.device)
        if tuple(found.shape) != (len(queries), width):
            raise EvaluationError(
                f"the distance gives an array of shape {tuple(found.shape)}; expected {(len(queries), width)}"
            )
        with workers.alone():  # a sum is several times faster than to look; infinities of both signs give NaN too
            sums = workers.run(torch.sum, [(found[start:stop],) for start, stop in workers.ranges(*found.shape)])
        if any(bool(part.isnan()) for part in sums):
            wrong = found.isnan().any(dim=1).nonzero()
            if len(wrong):
                raise EvaluationError(f"the distance gives NaN for query row {start + int(wrong[0])}")
        yield queries, found
