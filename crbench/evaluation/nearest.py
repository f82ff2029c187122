"""The gallery images that are nearest to a query, for people who want to look at them. Scores need ranks only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crbench.errors import EvaluationError
from crbench.evaluation.inputs import checked
from crbench.evaluation.masks import matches, query_gallery_masks
from crbench.protocol import EvalProtocol
from crbench.ranking.distance import DISTANCES
from crbench.ranking.interface import Settings
from crbench.ranking.reference import ReferenceEngine
from crbench.records import Features


def nearest(
    query: Features, gallery: Features, protocol: EvalProtocol, rows: NDArray[np.intp], count: int
) -> list[NDArray[np.intp]]:
    """The nearest valid gallery rows of some queries, nearest first, by the definition of the distance.

    All gallery images take part, also where the protocol draws some of them. Equal distances keep the gallery's order.

    Args:
        rows: intp[n], the queries.
        count: how many gallery rows each gets at most.

    Raises:
        EvaluationError: a distance of a plugin or re-ranking, or see `crbench.evaluate`.
    """
    scoring = protocol.scoring
    if scoring.distance not in DISTANCES or scoring.reranking is not None:
        raise EvaluationError(
            f"the nearest images are known by the distances {', '.join(DISTANCES)} without re-ranking only"
        )
    some = query.take(rows)
    task = matches(some.rows, gallery.rows, protocol)
    valid = np.zeros((len(rows), len(gallery.rows)), dtype=np.bool_)
    valid[:, task.candidates] = True
    for queries, items in query_gallery_masks(some.rows, gallery.rows, protocol):
        valid[queries] &= items
    valid &= some.rows.pids[:, None] != gallery.rows.pids
    valid[np.repeat(np.arange(len(rows)), task.sizes), task.positives] = True
    engine = ReferenceEngine(checked(some, gallery, protocol, None, "cpu"), Settings(memory=0))
    found = []
    for place, distances in engine.rows():
        order = np.argsort(np.where(valid[place], distances, np.inf), kind="stable")[:count]
        found.append(order[valid[place][order]])
    return found
