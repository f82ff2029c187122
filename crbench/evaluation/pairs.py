"""Which pairs of a query and a gallery image count, and how far apart they are: for those who look at distances.

Scores need ranks only, and get them faster; see `crbench.evaluation.evaluate`.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.errors import EvaluationError
from crbench.evaluation.inputs import checked
from crbench.evaluation.masks import Pairs, camera_groups, candidates
from crbench.protocol import EvalProtocol
from crbench.ranking.distance import DISTANCES
from crbench.ranking.interface import RankInputs, RankRows
from crbench.records import Features, Samples

_ELEMENTS = 1 << 23
"""Pairs of a block, at most, beside one query."""


@attrs.frozen(eq=False)
class PairBlock:
    """Some queries with all gallery images.

    Attributes:
        queries: intp[b].
        distances: f64[b, g]: 1 - cosine, the Euclidean distance or its square, as the protocol says; from products,
            so that equal distances may differ in their last digits.
        valid: bool[b, g], whether the pair counts.
        same: bool[b, g], whether both show one person.
    """

    queries: NDArray[np.intp]
    distances: NDArray[np.float64]
    valid: NDArray[np.bool_]
    same: NDArray[np.bool_]


def valid_pairs(
    query: Samples, gallery: Samples, protocol: EvalProtocol
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which pairs count, and which show one person: bool[q, g] each; see `crbench.evaluation.evaluate`.

    Example:
        >>> query, gallery = Samples(keys=["a"], pids=[1], camids=[1]), Samples(["b", "c"], pids=[1, 2], camids=[1, 1])
        >>> [mask.tolist() for mask in valid_pairs(query, gallery, EvalProtocol())]
        [[[False, True]], [[True, False]]]
    """
    same = query.pids[:, None] == gallery.pids
    valid = np.zeros_like(same)
    for queries, ignored in camera_groups(query, protocol):
        valid[np.ix_(queries, candidates(gallery, protocol, ignored))] = True
    matches = Pairs.of(query, gallery, protocol)
    valid &= ~same
    valid[matches.owners, matches.positives] = True
    return valid, same


def check_pairs_have_distances(protocol: EvalProtocol) -> None:
    """Refuse rules by which a pair has no distance of its own.

    Raises:
        EvaluationError: the distance is a plugin's, or distances are re-ranked.
    """
    scoring = protocol.scoring
    if scoring.distance not in DISTANCES or scoring.reranking is not None:
        raise EvaluationError(
            f"pairs have distances of their own by {', '.join(DISTANCES)} without re-ranking only; this protocol says "
            f"distance={scoring.distance}, rerank={scoring.rerank}"
        )


def pair_blocks(query: Features, gallery: Features, protocol: EvalProtocol) -> Iterator[PairBlock]:
    """All queries, block after block; all gallery images take part, also where the protocol draws some of them.

    Raises:
        EvaluationError: see `check_pairs_have_distances` and `crbench.evaluation.evaluate`.
    """
    check_pairs_have_distances(protocol)
    inputs = checked(query, gallery, protocol, None, "cpu")
    euclidean = protocol.scoring.distance == "euclidean"
    size = max(1, _ELEMENTS // len(gallery))
    for start in range(0, len(query), size):
        rows = np.arange(start, min(start + size, len(query)))
        valid, same = valid_pairs(query.rows.take(rows), gallery.rows, protocol)
        found = _distances(inputs, rows)
        yield PairBlock(rows, np.sqrt(found) if euclidean else found, valid, same)


def _distances(inputs: RankInputs, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """1 - cosine, or squared Euclidean distances, f64[b, g]."""
    found = np.empty((len(rows), len(inputs.gallery)))
    own, others = inputs.query.dims[rows], inputs.gallery.dims
    for one in np.unique(own).tolist():
        for other in np.unique(others).tolist():
            at, items = np.flatnonzero(own == one), np.flatnonzero(others == other)
            length = min(one, other)
            q = _rows(inputs.query, rows[at], length, inputs.unit)
            g = _rows(inputs.gallery, items, length, inputs.unit)
            products = q @ g.T
            if inputs.dot:
                found[np.ix_(at, items)] = (1 - products).clip(min=0)
            else:
                squares = (q**2).sum(axis=1)[:, None] + (g**2).sum(axis=1)
                found[np.ix_(at, items)] = (squares - 2 * products).clip(min=0)
    return found


def _rows(side: RankRows, rows: NDArray[np.intp], length: int, unit: bool) -> NDArray[np.float64]:
    x: NDArray[np.float64] = side.x[rows, :length].double().numpy()
    return x / np.linalg.norm(x, axis=1, keepdims=True) if unit else x
