"""The gallery images that are nearest to a query, for people who want to look at them. Scores need ranks only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crbench.evaluation.inputs import checked
from crbench.evaluation.pairs import check_pairs_have_distances, valid_pairs
from crbench.protocol import EvalProtocol
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
    check_pairs_have_distances(protocol)
    some = query.take(rows)
    valid, _ = valid_pairs(some.rows, gallery.rows, protocol)
    engine = ReferenceEngine(checked(some, gallery, protocol, None, "cpu"), Settings(memory=0))
    found = []
    for place, distances in engine.rows():
        order = np.argsort(np.where(valid[place], distances, np.inf), kind="stable")[:count]
        found.append(order[valid[place][order]])
    return found
