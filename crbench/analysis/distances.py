"""Distances of true and false pairs of a ranked trial, by the rate of the query."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.evaluation.pairs import PairBlock, pair_blocks
from crbench.harness.ranked import RankedTrial
from crbench.records import Features

BINS = 4096
"""Of the histogram of false pairs."""


@attrs.frozen(eq=False)
class RatePairs:
    """Pairs of the queries of one rate, or of all.

    Attributes:
        people: i64[p], people of the queries, ascending.
        true, true_people: f64[t] distances of true pairs, and whose, as places in `people`.
        false, false_people: the same of the nearest false pairs, f64[f], ascending.
        false_counts: i64[p], all false pairs of each person.
        edges, counts: f64[BINS + 1] and i64[BINS], histogram of all false pairs.
    """

    people: NDArray[np.int64]
    true: NDArray[np.float64]
    true_people: NDArray[np.intp]
    false: NDArray[np.float64]
    false_people: NDArray[np.intp]
    false_counts: NDArray[np.int64]
    edges: NDArray[np.float64]
    counts: NDArray[np.int64]

    @classmethod
    def joined(cls, parts: Sequence[RatePairs], kept: float) -> RatePairs:
        """The pairs of all parts, which share their edges; the share `kept` of the false ones is kept."""
        people = np.unique(np.concatenate([part.people for part in parts]))
        places = [np.searchsorted(people, part.people) for part in parts]
        false = np.concatenate([part.false for part in parts])
        owners = np.concatenate([place[part.false_people] for part, place in zip(parts, places, strict=True)])
        counts = np.zeros(len(people), dtype=np.int64)
        for part, place in zip(parts, places, strict=True):
            counts[place] += part.false_counts
        order = np.argsort(false, kind="stable")[: _count(kept, int(counts.sum()))]
        return cls(
            people=people,
            true=np.concatenate([part.true for part in parts]),
            true_people=np.concatenate([place[part.true_people] for part, place in zip(parts, places, strict=True)]),
            false=false[order],
            false_people=owners[order],
            false_counts=counts,
            edges=parts[0].edges,
            counts=np.sum([part.counts for part in parts], axis=0),
        )


def pairs_by_rate(ranked: RankedTrial, *, kept: float = 0.0) -> dict[float, RatePairs]:
    """The valid pairs of a ranked trial by the rate of the query, lowest first.

    Args:
        kept: share of the false pairs whose distances are kept one by one, the nearest ones.

    Raises:
        EvaluationError: see `crbench.evaluation.pairs.pair_blocks`.
    """
    edges = _edges(ranked)
    found: dict[float, _Collector] = {}
    for query, gallery in ranked.compared:
        for rate in np.unique(query.rows.rates).tolist():
            own = query.take(np.flatnonzero(query.rows.rates == rate))
            collector = found.setdefault(rate, _Collector(own, len(gallery), kept, edges))
            for block in pair_blocks(own, gallery, ranked.protocol):
                collector.add(block)
    return {rate: found[rate].pairs() for rate in sorted(found)}


def _edges(ranked: RankedTrial) -> NDArray[np.float64]:
    """Edges of bins that hold all distances."""
    scoring = ranked.protocol.scoring
    if scoring.distance == "cosine":
        return np.linspace(0.0, 2.0, BINS + 1)
    longest = 1.0
    if scoring.normalise != "l2":
        longest = max(float(side.x.double().norm(dim=1).max()) for pair in ranked.compared for side in pair)
    return np.linspace(0.0, 2 * longest if scoring.distance == "euclidean" else 4 * longest**2, BINS + 1)


class _Collector:
    """Gathers the pairs of the queries of a rate, block by block."""

    def __init__(self, query: Features, gallery: int, kept: float, edges: NDArray[np.float64]) -> None:
        self._people, self._places = np.unique(query.rows.pids, return_inverse=True)
        self._limit = _count(kept, len(query) * gallery)
        self._edges = edges
        self._true: list[tuple[NDArray[np.float64], NDArray[np.intp]]] = []
        self._false = np.empty(0), np.empty(0, dtype=np.intp)
        self._false_counts = np.zeros(len(self._people), dtype=np.int64)
        self._counts = np.zeros(BINS, dtype=np.int64)

    def add(self, block: PairBlock) -> None:
        places = np.broadcast_to(self._places[block.queries, None], block.same.shape)
        true, false = block.valid & block.same, block.valid & ~block.same
        self._true.append((block.distances[true], places[true]))
        far = block.distances[false]
        self._counts += np.histogram(far.clip(self._edges[0], self._edges[-1]), self._edges)[0]
        np.add.at(self._false_counts, self._places[block.queries], false.sum(axis=1))
        distances, owners = np.concatenate([self._false[0], far]), np.concatenate([self._false[1], places[false]])
        if len(distances) > self._limit:
            nearest = np.argpartition(distances, self._limit)[: self._limit]
            distances, owners = distances[nearest], owners[nearest]
        self._false = distances, owners

    def pairs(self) -> RatePairs:
        order = np.argsort(self._false[0], kind="stable")
        return RatePairs(
            people=self._people,
            true=np.concatenate([distances for distances, _ in self._true]),
            true_people=np.concatenate([owners for _, owners in self._true]),
            false=self._false[0][order],
            false_people=self._false[1][order],
            false_counts=self._false_counts,
            edges=self._edges,
            counts=self._counts,
        )


def _count(kept: float, pairs: int) -> int:
    return int(np.ceil(kept * pairs)) + 1
