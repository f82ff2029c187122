"""What the labels of a gallery say before anything is ranked: where positives are, and what may be ahead of them.

What labels of consecutive shards say is joined in any grouping, as long as their order is kept: on one machine shard
after shard, or by many in a tree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.data.draws import hashes, repeated
from crbench.evaluation import masks
from crbench.evaluation.masks import Pairs, Seen
from crbench.evaluation.matches import Matches
from crbench.evaluation.single_shot import Best, Persons, unknown
from crbench.protocol import EvalProtocol
from crbench.records import Samples

FAN_IN = 8
"""Parts that are joined at a time."""

T = TypeVar("T")


@attrs.frozen(eq=False)
class CameraGroup:
    """Queries that the camera rules treat alike, and what may be ahead of their positives.

    Attributes:
        queries: intp[b], ascending.
        ignored: cameras that they do not meet.
        others: i64[b], candidates of other persons.
        persons: of whom there are candidates; None where the protocol is not ``single:exact``.
        best: for each draw of the protocol.
    """

    queries: NDArray[np.intp]
    ignored: Sequence[int]
    others: NDArray[np.int64]
    persons: Persons | None
    best: Sequence[Best]

    @classmethod
    def joined(cls, parts: Sequence[CameraGroup], counts: Sequence[int]) -> CameraGroup:
        """The same queries with all parts of a gallery, which have so many shards each."""
        first = parts[0]
        persons = [part.persons for part in parts if part.persons is not None]
        return cls(
            first.queries,
            first.ignored,
            np.sum([part.others for part in parts], axis=0),
            Persons.joined(persons) if persons else None,
            [Best.joined(own, counts) for own in zip(*(part.best for part in parts), strict=True)],
        )


@attrs.frozen(eq=False)
class LabelFacts:
    """What the labels of one shard or of several say.

    Attributes:
        shards: how many.
        matches: of the queries.
        seen: for a message.
        groups: together all queries.
        zero_known: pid 0 is a person.
    """

    shards: int
    matches: Matches
    seen: Seen
    groups: Sequence[CameraGroup]
    zero_known: bool

    @classmethod
    def of(
        cls, query: Samples, gallery: Samples, protocol: EvalProtocol, stream: str, dims: NDArray[np.int64]
    ) -> LabelFacts:
        """Those of one shard.

        Args:
            stream: names the draws.
            dims: i64[g], how many leading columns of a gallery row count.
        """
        draws, zero_known = protocol.scoring.draws, bool(np.any(query.pids == 0))
        pairs = Pairs.of(query, gallery, protocol)
        seeds = None if draws is None else hashes(stream, gallery.keys[pairs.positives])
        groups = []
        for queries, ignored in masks.camera_groups(query, protocol):
            found = masks.candidates(gallery, protocol, ignored)
            pids = gallery.pids[found]
            exact = not protocol.scoring.multi_shot and draws is None
            persons = Persons.of(pids, zero_known=zero_known) if exact else None
            known = found[~unknown(pids, zero_known=zero_known)] if draws else found[:0]
            own = hashes(stream, gallery.keys[known])
            best = [Best.of(gallery.pids[known], repeated(own, number), known) for number in range(draws or 0)]
            groups.append(CameraGroup(queries, ignored, _others(query.pids[queries], pids), persons, best))
        return cls(1, Matches.of(len(query), pairs, dims[pairs.positives], seeds), pairs.seen, groups, zero_known)

    @classmethod
    def joined(cls, parts: Sequence[LabelFacts]) -> LabelFacts:
        """Those of all parts of a gallery, in its order."""
        counts = [part.shards for part in parts]
        return cls(
            sum(counts),
            Matches.joined([part.matches for part in parts], counts),
            Seen.joined([part.seen for part in parts]),
            [CameraGroup.joined(own, counts) for own in zip(*(part.groups for part in parts), strict=True)],
            parts[0].zero_known,
        )

    @property
    def nbytes(self) -> int:
        """Bytes of its larger arrays."""
        best = sum(one.nbytes for group in self.groups for one in group.best)
        persons = sum(2 * group.persons.pids.nbytes for group in self.groups if group.persons is not None)
        return self.matches.nbytes + best + persons + sum(group.others.nbytes for group in self.groups)

    def block(self, group: int, places: NDArray[np.intp]) -> LabelFacts:
        """The same of some queries of a group, numbered from 0; `places` intp[b] are their positions in the group."""
        own = self.groups[group]
        alone = attrs.evolve(own, queries=np.arange(len(places)), others=own.others[places])
        return attrs.evolve(self, matches=self.matches.take(own.queries[places]), groups=[alone])

    def check_some_match(self, query: Samples, protocol: EvalProtocol) -> None:
        """Refuse what has no score.

        Raises:
            EvaluationError: no query has a positive; the message says why.
        """
        masks.check_some_match(query, len(self.matches.rows), self.seen, protocol)


def joined_in_turn(parts: Iterable[T], join: Callable[[Sequence[T]], T]) -> T:
    """Join all parts in their order, a few at a time, so that few are held at once; joined parts are joined again.

    Example:
        >>> joined_in_turn(map(str, range(10)), "".join)
        '0123456789'
    """
    levels: list[list[T]] = [[]]
    for part in parts:
        levels[0].append(part)
        for number, level in enumerate(levels):
            if len(level) == FAN_IN:
                if number + 1 == len(levels):
                    levels.append([])
                levels[number + 1].append(join(level))
                level.clear()
    rest = [part for level in reversed(levels) for part in level]
    return rest[0] if len(rest) == 1 else join(rest)


def _others(pids: NDArray[np.int64], candidates: NDArray[np.int64]) -> NDArray[np.int64]:
    """i64[b], how many candidates show another person than a query does, from the pids of both."""
    ordered = np.sort(candidates)
    own = np.searchsorted(ordered, pids, side="right") - np.searchsorted(ordered, pids)
    others: NDArray[np.int64] = len(ordered) - own.astype(np.int64)
    return others
