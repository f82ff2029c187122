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
        people: i64[p], all people who are asked for at any rate, ascending.
        true, true_people: f64[t] distances of true pairs, and whose, as places in `people`.
        false, false_people, false_others: f64[f] distances of the nearest false pairs, ascending; whose query it is,
            and whose gallery image, where p is anybody who is not in `people`.
        false_counts: i64[p, p + 1], all false pairs by the people of query and gallery image.
        edges, counts: f64[BINS + 1] and i64[BINS], histogram of all false pairs.
    """

    people: NDArray[np.int64]
    true: NDArray[np.float64]
    true_people: NDArray[np.intp]
    false: NDArray[np.float64]
    false_people: NDArray[np.intp]
    false_others: NDArray[np.intp]
    false_counts: NDArray[np.int64]
    edges: NDArray[np.float64]
    counts: NDArray[np.int64]

    @property
    def false_total(self) -> int:
        """The number of false pairs."""
        return int(self.false_counts.sum())

    @classmethod
    def joined(cls, parts: Sequence[RatePairs], kept: float) -> RatePairs:
        """The pairs of all rates of a trial; the share `kept` of the false ones is kept."""
        counts = np.sum([part.false_counts for part in parts], axis=0)
        false = np.concatenate([part.false for part in parts])
        nearest = np.argsort(false, kind="stable")[: _count(kept, int(counts.sum()))]
        return cls(
            people=parts[0].people,
            true=np.concatenate([part.true for part in parts]),
            true_people=np.concatenate([part.true_people for part in parts]),
            false=false[nearest],
            false_people=np.concatenate([part.false_people for part in parts])[nearest],
            false_others=np.concatenate([part.false_others for part in parts])[nearest],
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
    people = np.unique(np.concatenate([query.rows.pids for query, _ in ranked.compared]))
    found: dict[float, _Collector] = {}
    for query, gallery in ranked.compared:
        for rate in np.unique(query.rows.rates).tolist():
            own = query.take(np.flatnonzero(query.rows.rates == rate))
            collector = found.setdefault(rate, _Collector(people, own, gallery, kept, edges))
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

    def __init__(
        self, people: NDArray[np.int64], query: Features, gallery: Features, kept: float, edges: NDArray[np.float64]
    ) -> None:
        self._people, self._edges = people, edges
        self._queries = np.searchsorted(people, query.rows.pids)
        places = np.searchsorted(people, gallery.rows.pids).clip(max=len(people) - 1)
        self._items = np.where(people[places] == gallery.rows.pids, places, len(people))
        self._limit = _count(kept, len(query) * len(gallery))
        self._true: list[tuple[NDArray[np.float64], NDArray[np.intp]]] = []
        self._false = np.empty(0), np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
        self._false_counts = np.zeros((len(people), len(people) + 1), dtype=np.int64)
        self._counts = np.zeros(BINS, dtype=np.int64)

    def add(self, block: PairBlock) -> None:
        owners = np.broadcast_to(self._queries[block.queries, None], block.same.shape)
        true, false = block.valid & block.same, block.valid & ~block.same
        self._true.append((block.distances[true], owners[true]))
        far = block.distances[false]
        self._counts += np.histogram(far.clip(self._edges[0], self._edges[-1]), self._edges)[0]
        others = np.broadcast_to(self._items, false.shape)[false]
        np.add.at(self._false_counts, (owners[false], others), 1)
        distances = np.concatenate([self._false[0], far])
        owned, shown = np.concatenate([self._false[1], owners[false]]), np.concatenate([self._false[2], others])
        if len(distances) > self._limit:
            nearest = np.argpartition(distances, self._limit)[: self._limit]
            distances, owned, shown = distances[nearest], owned[nearest], shown[nearest]
        self._false = distances, owned, shown

    def pairs(self) -> RatePairs:
        order = np.argsort(self._false[0], kind="stable")
        return RatePairs(
            people=self._people,
            true=np.concatenate([distances for distances, _ in self._true]),
            true_people=np.concatenate([owners for _, owners in self._true]),
            false=self._false[0][order],
            false_people=self._false[1][order],
            false_others=self._false[2][order],
            false_counts=self._false_counts,
            edges=self._edges,
            counts=self._counts,
        )


def _count(kept: float, pairs: int) -> int:
    return int(np.ceil(kept * pairs)) + 1
