"""Single-shot galleries: the identities of the candidates, and draws of one image of each.

Distractors (pid 0) and kept junk (pid -1) are unknown people, so each of their images is an identity of its own. In a
data set that numbers its persons from 0, pid 0 is a person: it is one as soon as a query has it.

The gallery may come in shards. What a person has in all of them is added up, and the image that a draw takes is the one
of the highest priority in any.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.data.draws import repeated
from crbench.evaluation.matches import Matches
from crbench.records import Samples


@attrs.frozen(eq=False)
class Persons:
    """Of whom there are candidates.

    Attributes:
        pids: i64[n], ascending, of known people.
        counts: i64[n], their images.
        strangers: images of unknown people.
        zero_known: pid 0 is a person.
    """

    pids: NDArray[np.int64]
    counts: NDArray[np.int64]
    strangers: int
    zero_known: bool

    @classmethod
    def of(cls, pids: NDArray[np.int64], *, zero_known: bool) -> Persons:
        """Those of candidates with these pids i64[c]."""
        strange = unknown(pids, zero_known=zero_known)
        return cls(*np.unique(pids[~strange], return_counts=True), int(strange.sum()), zero_known)

    @classmethod
    def joined(cls, parts: Sequence[Persons]) -> Persons:
        """Those of all parts of a gallery."""
        pids, place = np.unique(np.concatenate([part.pids for part in parts]), return_inverse=True)
        counts = np.zeros(len(pids), dtype=np.int64)
        np.add.at(counts, place, np.concatenate([part.counts for part in parts]))
        return cls(pids, counts, sum(part.strangers for part in parts), parts[0].zero_known)


@attrs.frozen(eq=False)
class Identities:
    """The identities of all candidates.

    Attributes:
        several: i64[w], ascending: persons of whom there are several images. Each has a column of its own, from 1 on;
            column 0 is for the only image of an identity.
        sizes: intp[w + 1], images per column.
        zero_known: pid 0 is a person.
    """

    several: NDArray[np.int64]
    sizes: NDArray[np.intp]
    zero_known: bool

    @classmethod
    def of(cls, persons: Persons) -> Identities:
        """Those of the candidates of these persons, and of strangers."""
        several = persons.counts > 1
        alone = persons.strangers + int((~several).sum())
        sizes = np.concatenate([[alone], persons.counts[several]])
        return cls(persons.pids[several], sizes, persons.zero_known)

    @property
    def width(self) -> int:
        """Columns."""
        return len(self.sizes)

    def columns(self, pids: NDArray[np.int64]) -> NDArray[np.intp]:
        """intp[c], the column of each candidate of these persons i64[c]."""
        if not len(self.several):
            return np.zeros(len(pids), dtype=np.intp)
        place = np.searchsorted(self.several, pids).clip(max=len(self.several) - 1)
        known = (self.several[place] == pids) & ~unknown(pids, zero_known=self.zero_known)
        columns: NDArray[np.intp] = np.where(known, place + 1, 0)
        return columns


def unknown(pids: NDArray[np.int64], *, zero_known: bool) -> NDArray[np.bool_]:
    """bool[n], whose images are each an identity of its own.

    Args:
        zero_known: pid 0 is a person, as some query has it.
    """
    strangers: NDArray[np.bool_] = (pids < 0) | ((pids == 0) & (not zero_known))
    return strangers


@attrs.frozen(eq=False)
class Draw:
    """One draw: an image of each identity, and for each query one of its positives.

    Attributes:
        chosen: intp of each shard, the rows that represent known persons.
        positives: intp[a], which of the positives, one for each query that has any.
        zero_known: pid 0 is a person.
    """

    chosen: Sequence[NDArray[np.intp]]
    positives: NDArray[np.intp]
    zero_known: bool

    def candidates(self, shard: int, rows: Samples, found: NDArray[np.intp]) -> NDArray[np.intp]:
        """Those of the candidates of a shard that are in the draw."""
        strange = unknown(rows.pids[found], zero_known=self.zero_known)
        return np.sort(np.concatenate([self.chosen[shard], found[strange]]))


def draws(best: Sequence[Best], matches: Matches, shards: int, *, zero_known: bool) -> list[Draw]:
    """One draw for each of the best.

    In each, an image gets a priority from its name alone (`crbench.data.draws`). A person is represented by the image
    of the highest priority, the person of the query by the highest among the query's positives; by the first one in the
    order of the gallery, should two be equal.

    Args:
        shards: how many shards the gallery has.
    """
    seeds = matches.seeds
    assert seeds is not None
    first, items = matches.starts[:-1][matches.sizes > 0], np.arange(len(seeds))
    return [
        Draw(one.chosen(shards), _highest(first, repeated(seeds, number), items), zero_known)
        for number, one in enumerate(best)
    ]


@attrs.frozen(eq=False)
class Best:
    """The image of the highest priority of each known person in a draw, [n] each, by person."""

    pids: NDArray[np.int64]
    priorities: NDArray[np.uint64]
    shards: NDArray[np.intp]
    rows: NDArray[np.intp]

    @classmethod
    def of(cls, pids: NDArray[np.int64], priorities: NDArray[np.uint64], rows: NDArray[np.intp]) -> Best:
        """Those among some rows of one shard."""
        return cls(pids, priorities, np.zeros_like(rows), rows)._best()

    @classmethod
    def joined(cls, parts: Sequence[Best], counts: Sequence[int]) -> Best:
        """Those among all parts of a gallery, which have so many shards each."""
        first = np.cumsum(counts) - counts
        return cls(
            np.concatenate([part.pids for part in parts]),
            np.concatenate([part.priorities for part in parts]),
            np.concatenate([part.shards + before for part, before in zip(parts, first, strict=True)]),
            np.concatenate([part.rows for part in parts]),
        )._best()

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return self.pids.nbytes + self.priorities.nbytes + self.shards.nbytes + self.rows.nbytes

    def chosen(self, count: int) -> list[NDArray[np.intp]]:
        """Rows of each of so many shards."""
        return [self.rows[self.shards == shard] for shard in range(count)]

    def _best(self) -> Best:
        order = np.argsort(self.pids, kind="stable")  # stable: of one person the rows keep their order
        first = np.flatnonzero(np.diff(self.pids[order], prepend=-1))
        best = _highest(first, self.priorities[order], order)
        return Best(self.pids[best], self.priorities[best], self.shards[best], self.rows[best])


def _highest(first: NDArray[np.intp], priorities: NDArray[np.uint64], items: NDArray[np.intp]) -> NDArray[np.intp]:
    """The item of the highest priority in each run of items; runs begin at `first`."""
    if not len(first):
        return items[:0]
    runs = np.repeat(np.arange(len(first)), np.diff(first, append=len(items)))
    at = np.flatnonzero(priorities == np.maximum.reduceat(priorities, first)[runs])
    return items[at[np.diff(runs[at], prepend=-1) > 0]]  # of equal ones the first
