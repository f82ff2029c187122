"""Single-shot galleries: the identities of the candidates, and draws of one image of each.

Distractors (pid 0) and kept junk (pid -1) are unknown people, so each of their images is an identity of its own. In a
data set that numbers its persons from 0, pid 0 is a person: it is one as soon as a query has it.

The gallery may come in shards. What a person has in all of them is added up, and the image that a draw takes is the one
of the highest priority in any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.data.draws import hashes, repeated
from crbench.evaluation.gallery import Matches
from crbench.records import Samples

ShardCandidates = tuple[Samples, NDArray[np.intp]]
"""The rows of a shard of the gallery, and which of them are candidates, intp[c]."""


@attrs.frozen(eq=False)
class Identities:
    """The identities of all candidates.

    Attributes:
        several: i64[w], ascending: persons of whom there are several images. Each has a column of its own, from 1 on;
            column 0 is for the only image of an identity.
        sizes: intp[w + 1], images per column.
    """

    several: NDArray[np.int64]
    sizes: NDArray[np.intp]

    @classmethod
    def of(cls, query: Samples, shards: Iterable[ShardCandidates]) -> Identities:
        """Those of the candidates in all shards."""
        pids, counts, singles = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), 0
        for rows, found in shards:
            own = rows.pids[found]
            strangers = unknown(own, query)
            singles += int(strangers.sum())
            seen = np.unique(own[~strangers], return_counts=True)
            pids, place = np.unique(np.concatenate([pids, seen[0]]), return_inverse=True)
            counts = np.bincount(place, weights=np.concatenate([counts, seen[1]]), minlength=len(pids)).astype(np.int64)
        several = counts > 1
        return cls(pids[several], np.concatenate([[singles + int((~several).sum())], counts[several]]))

    @property
    def width(self) -> int:
        """Columns."""
        return len(self.sizes)

    def columns(self, pids: NDArray[np.int64], query: Samples) -> NDArray[np.intp]:
        """intp[c], the column of each candidate of these persons i64[c]."""
        if not len(self.several):
            return np.zeros(len(pids), dtype=np.intp)
        place = np.searchsorted(self.several, pids).clip(max=len(self.several) - 1)
        known = (self.several[place] == pids) & ~unknown(pids, query)
        columns: NDArray[np.intp] = np.where(known, place + 1, 0)
        return columns


def unknown(pids: NDArray[np.int64], query: Samples) -> NDArray[np.bool_]:
    """bool[n], whose images are each an identity of its own."""
    strangers: NDArray[np.bool_] = (pids < 0) | ((pids == 0) & ~np.any(query.pids == 0))
    return strangers


@attrs.frozen(eq=False)
class Draw:
    """One draw: an image of each identity, and for each query one of its positives.

    Attributes:
        chosen: intp of each shard, the rows that represent known persons.
        positives: intp[a], which of the positives, one for each query that has any.
    """

    chosen: Sequence[NDArray[np.intp]]
    positives: NDArray[np.intp]

    def candidates(self, shard: int, rows: Samples, found: NDArray[np.intp], query: Samples) -> NDArray[np.intp]:
        """Those of the candidates of a shard that are in the draw."""
        return np.sort(np.concatenate([self.chosen[shard], found[unknown(rows.pids[found], query)]]))


def draws(
    count: int, stream: str, query: Samples, shards: Callable[[], Iterator[ShardCandidates]], matches: Matches
) -> list[Draw]:
    """So many draws.

    In each, an image gets a priority from its name alone (`crbench.data.draws`). A person is represented by the image
    of the highest priority, the person of the query by the highest among the query's positives; by the first one in the
    order of the gallery, should two be equal.

    Args:
        stream: names the draws.
        shards: gives the shards of the gallery anew.
    """
    best = [_Best() for _ in range(count)]
    seeds, number = np.zeros(len(matches.rows), dtype=np.uint64), 0
    for number, (rows, found) in enumerate(shards()):
        mine = matches.shards == number
        seeds[mine] = hashes(stream, rows.keys[matches.rows[mine]])
        known = found[~unknown(rows.pids[found], query)]
        own = hashes(stream, rows.keys[known])
        best = [one.beside(rows.pids[known], repeated(own, draw), number, known) for draw, one in enumerate(best)]
    first = matches.starts[:-1][matches.sizes > 0]
    return [
        Draw(one.chosen(number + 1), _highest(first, repeated(seeds, draw), np.arange(len(seeds))))
        for draw, one in enumerate(best)
    ]


@attrs.frozen(eq=False)
class _Best:
    """The image of the highest priority of each person, in the shards so far: [n] each, by person."""

    pids: NDArray[np.int64] = attrs.field(factory=lambda: np.empty(0, dtype=np.int64))
    priorities: NDArray[np.uint64] = attrs.field(factory=lambda: np.empty(0, dtype=np.uint64))
    shards: NDArray[np.intp] = attrs.field(factory=lambda: np.empty(0, dtype=np.intp))
    rows: NDArray[np.intp] = attrs.field(factory=lambda: np.empty(0, dtype=np.intp))

    def beside(
        self, pids: NDArray[np.int64], priorities: NDArray[np.uint64], shard: int, rows: NDArray[np.intp]
    ) -> _Best:
        """The best of these and of the images of one shard more."""
        pids = np.concatenate([self.pids, pids])
        order = np.argsort(pids, kind="stable")  # what was there first stays first
        first = np.flatnonzero(np.diff(pids[order], prepend=-1))
        priorities = np.concatenate([self.priorities, priorities])
        best = _highest(first, priorities[order], order)
        return _Best(
            pids[best],
            priorities[best],
            np.concatenate([self.shards, np.full(len(rows), shard)])[best],
            np.concatenate([self.rows, rows])[best],
        )

    def chosen(self, count: int) -> list[NDArray[np.intp]]:
        """Rows of each of so many shards."""
        return [self.rows[self.shards == shard] for shard in range(count)]


def _highest(first: NDArray[np.intp], priorities: NDArray[np.uint64], items: NDArray[np.intp]) -> NDArray[np.intp]:
    """The item of the highest priority in each run of items; runs begin at `first`."""
    if not len(first):
        return items[:0]
    runs = np.repeat(np.arange(len(first)), np.diff(first, append=len(items)))
    at = np.flatnonzero(priorities == np.maximum.reduceat(priorities, first)[runs])
    return items[at[np.diff(runs[at], prepend=-1) > 0]]  # the first one, should two be equal
