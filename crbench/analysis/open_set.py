"""Open set: the person of a query may not be in the gallery at all, and then the right answer is "nobody".

Half of the people are taken out of the gallery, drawn again and again. A query is answered by its nearest image if that
is nearer than a threshold. Of queries whose person is not there, an answer is a false alarm; of the others, it is right
if it shows the person. The detection and identification rate is the share of the others that are answered rightly, at
the threshold that gives a share of false alarms (Phillips, Grother and Micheals, "Evaluation Methods in Face
Recognition", Handbook of Face Recognition, 2011).
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.analysis.offsets import Estimate
from crbench.analysis.people import halves
from crbench.evaluation.pairs import pair_blocks
from crbench.harness.ranked import RankedTrial
from crbench.metrics.roc import allowed_false_pairs
from crbench.records import Features
from crbench.statistics import interval_over_people

DRAWS = 20
"""How often half of the people are taken out."""

_NO_INTERVAL = np.full((2, 1), np.nan)


@attrs.frozen(eq=False)
class PersonDistances:
    """The nearest image of each person of the gallery for each query.

    Attributes:
        pids: i64[q], of the queries.
        rates: f32[q].
        columns: i64[c], people of the gallery, ascending; distractors are one of them, and junk that is kept.
        nearest: f64[q, c], infinite where no image counts.
    """

    pids: NDArray[np.int64]
    rates: NDArray[np.float32]
    columns: NDArray[np.int64]
    nearest: NDArray[np.float64]

    def take(self, rows: NDArray[np.bool_]) -> PersonDistances:
        """Some of the queries."""
        return attrs.evolve(self, pids=self.pids[rows], rates=self.rates[rows], nearest=self.nearest[rows])


@attrs.frozen
class Identified:
    """What becomes of queries, as means over the draws.

    Attributes:
        rate: detection and identification rate; without an interval where not even one query of an unknown person may
            be answered, as the nearest one then decides alone.
        threshold: distance below which a query is answered.
        unlimited: share of queries that are answered rightly where all are answered: Rank-1 with half of the people.
        known, unknown: queries of people who are in the gallery, and who are not; means over the draws.
    """

    rate: Estimate
    threshold: float
    unlimited: float
    known: float
    unknown: float


def person_distances(ranked: RankedTrial) -> PersonDistances:
    """The nearest images of a ranked trial, its queries in no order.

    Raises:
        EvaluationError: see `crbench.evaluation.pairs.pair_blocks`.
    """
    parts = [part for query, gallery in ranked.compared for part in _parts(query, gallery, ranked)]
    return PersonDistances(
        pids=np.concatenate([part.pids for part in parts]),
        rates=np.concatenate([part.rates for part in parts]),
        columns=parts[0].columns,
        nearest=np.concatenate([part.nearest for part in parts]),
    )


def _parts(query: Features, gallery: Features, ranked: RankedTrial) -> Iterator[PersonDistances]:
    order = np.argsort(gallery.rows.pids, kind="stable")
    columns, first = np.unique(gallery.rows.pids[order], return_index=True)
    for block in pair_blocks(query, gallery, ranked.protocol):
        counted = np.where(block.valid, block.distances, np.inf)[:, order]
        nearest = np.minimum.reduceat(counted, first, axis=1)
        yield PersonDistances(query.rows.pids[block.queries], query.rows.rates[block.queries], columns, nearest)


def identified(distances: PersonDistances, share: float, *, seed: int = 0) -> Identified:
    """What becomes of queries at a share of false alarms.

    Raises:
        DataError: fewer than 4 people.
    """
    people = np.unique(distances.pids)
    draws = [_draw(distances, people, seed + number) for number in range(DRAWS)]
    found = [draw.at(share) for draw in draws]

    def rates(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        own = np.stack([draw.rates(weights, share) for draw in draws])
        known = ~np.isnan(own)
        means = np.full(len(weights), np.nan)  # stays so where no draw has somebody known and somebody unknown
        np.divide(np.where(known, own, 0).sum(axis=0), known.sum(axis=0), out=means, where=known.any(axis=0))
        return means[:, None]

    counts = np.bincount(np.searchsorted(people, distances.pids)).astype(float)
    unknown = float(np.mean([len(draw.alarms) for draw in draws]))
    low, high = interval_over_people(people, rates, shares=counts) if share * unknown >= 1 else _NO_INTERVAL
    return Identified(
        rate=Estimate(float(np.mean([rate for rate, _ in found])), float(low[0]), float(high[0])),
        threshold=float(np.mean([threshold for _, threshold in found])),
        unlimited=float(np.mean([len(draw.right) / draw.known for draw in draws])),
        known=float(np.mean([draw.known for draw in draws])),
        unknown=unknown,
    )


@attrs.frozen(eq=False)
class _Draw:
    """One gallery with half of the people.

    Attributes:
        right, right_people: distances of queries whose nearest image shows their person, ascending, and their people.
        alarms, alarm_people: nearest distances of queries whose person is not there, ascending, and their people.
        known_counts: f64[p], queries of each person who is there.
    """

    right: NDArray[np.float64]
    right_people: NDArray[np.intp]
    alarms: NDArray[np.float64]
    alarm_people: NDArray[np.intp]
    known_counts: NDArray[np.float64]

    @property
    def known(self) -> float:
        return float(self.known_counts.sum())

    def at(self, share: float) -> tuple[float, float]:
        """Detection and identification rate, and threshold."""
        threshold = float(self.alarms[allowed_false_pairs(share, len(self.alarms))])
        return float(np.searchsorted(self.right, threshold, side="left") / self.known), threshold

    def rates(self, weights: NDArray[np.float64], share: float) -> NDArray[np.float64]:
        """f64[b] for people who are there ``weights`` times; NaN where nobody is known, or nobody unknown."""
        alarms = weights[:, self.alarm_people].cumsum(axis=1)
        first = (alarms <= share * alarms[:, -1:] + 1e-9).sum(axis=1)
        below = np.searchsorted(self.right, np.append(self.alarms, np.inf), side="left")[first]
        right = np.pad(weights[:, self.right_people].cumsum(axis=1), ((0, 0), (1, 0)))
        found = np.full(len(weights), np.nan)
        known = weights @ self.known_counts
        there = (known > 0) & (alarms[:, -1] > 0)
        np.divide(right[np.arange(len(weights)), below], known, out=found, where=there)
        return found


def _draw(distances: PersonDistances, people: NDArray[np.int64], seed: int) -> _Draw:
    """A gallery without half of the people; who is never asked for stays in it."""
    enrolled = people[halves(people, seed)]
    kept = np.isin(distances.columns, enrolled) | ~np.isin(distances.columns, people)
    nearest = distances.nearest[:, kept]
    best = nearest.argmin(axis=1)
    shortest = nearest[np.arange(len(best)), best]
    own = distances.columns[kept][best] == distances.pids
    places = np.searchsorted(people, distances.pids)
    known = np.isin(distances.pids, enrolled) & _has_match(distances)
    right = np.flatnonzero(known & own)
    right = right[np.argsort(shortest[right], kind="stable")]
    alarms = np.flatnonzero(~np.isin(distances.pids, enrolled))
    alarms = alarms[np.argsort(shortest[alarms], kind="stable")]
    return _Draw(
        right=shortest[right],
        right_people=places[right],
        alarms=shortest[alarms],
        alarm_people=places[alarms],
        known_counts=np.bincount(places[known], minlength=len(people)).astype(float),
    )


def _has_match(distances: PersonDistances) -> NDArray[np.bool_]:
    """Whether an image of a query's person counts for it."""
    places = np.searchsorted(distances.columns, distances.pids).clip(max=len(distances.columns) - 1)
    there = distances.columns[places] == distances.pids
    found: NDArray[np.bool_] = there & np.isfinite(distances.nearest[np.arange(len(places)), places])
    return found
