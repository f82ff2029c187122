"""From what labels say to outcomes: an engine's counts become ranks of positives, or curves of a drawn gallery.

Counts over shards of the gallery add up. Within a query, a nearer positive never has more items ahead of it, whatever
the shard and the column. So the counts of a shard, sorted, are those of the positives from the nearest to the farthest,
and sums of sorted counts are what the whole gallery gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.api.context import Progress, Tracker
from crbench.evaluation import masks
from crbench.evaluation.labels import CameraGroup, LabelFacts
from crbench.evaluation.outcomes import Outcomes
from crbench.evaluation.questions import Question, questions, settle, unanswered
from crbench.metrics.cmc import CURVE_LENGTH
from crbench.protocol import EvalProtocol
from crbench.ranking.interface import Engine, RankCounts, RankTask, positive_slots
from crbench.records import Samples


class Shard(Protocol):
    """A shard of the gallery."""

    @property
    def rows(self) -> Samples:
        """Its images, in the order in which the engine knows them."""

    @property
    def engine(self) -> Engine:
        """What ranks in it."""


class Shards(Protocol):
    """All shards of the gallery, in order; there may be one."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Shard]: ...


@attrs.frozen(eq=False)
class Sums:
    """Counts of one shard or the sums of several.

    Attributes:
        ahead: for each question, i32[P, width]: those of a query from its nearest positive to the farthest.
        ambiguous: comparisons that were.
    """

    ahead: Sequence[NDArray[np.int32]]
    ambiguous: int

    @classmethod
    def none(cls, asked: Sequence[Question]) -> Sums:
        """Zeros."""
        return cls([np.zeros((len(one.positives), one.width), dtype=np.int32) for one in asked], 0)

    @classmethod
    def joined(cls, parts: Sequence[Sums]) -> Sums:
        """Those of all parts of a gallery, in arrays of their own."""
        ahead = [own.copy() for own in parts[0].ahead]
        for part in parts[1:]:
            for mine, theirs in zip(ahead, part.ahead, strict=True):
                np.add(mine, theirs, out=mine)
        return cls(ahead, sum(part.ambiguous for part in parts))


@attrs.frozen(eq=False)
class Ranking:
    """The questions that a protocol asks of an engine.

    Attributes:
        facts: what the labels of the gallery say.
        positives: intp[P], the rows of all positives as the engines know them.
        shards: of the gallery.
        progress: shows how many queries are answered.
        counts: most counts that are held at a time while those of several shards are added up.
        length: of the CMC curves.
    """

    facts: LabelFacts
    positives: NDArray[np.intp]
    shards: Shards
    protocol: EvalProtocol
    progress: Progress
    counts: int
    length: int = CURVE_LENGTH

    def outcomes(self, rows: range) -> tuple[Outcomes, int]:
        """The outcomes of the queries in these rows, and how many comparisons were ambiguous."""
        found = unanswered(self.facts, self.protocol, self.length)
        ambiguous = 0
        for group in self.facts.groups:
            asked = group.queries[np.isin(group.queries, rows)]
            if len(asked):
                whole = self._questions(group, found)
                ambiguous += self._ask([one.of(asked) for one in whole], group.ignored)
        settle(found, self.protocol)
        return found.take(np.array(rows, dtype=np.intp)), ambiguous

    def needed(self) -> NDArray[np.integer]:
        """Integers [q], how many counts each query needs; all queries are of one group of cameras."""
        (group,) = self.facts.groups
        return _needed(list(self._questions(group, unanswered(self.facts, self.protocol, self.length))))

    def counted(self, number: int, shard: Shard) -> Sums:
        """The counts of one shard for all queries, which are of one group of cameras."""
        (group,) = self.facts.groups
        asked = list(self._questions(group, unanswered(self.facts, self.protocol, self.length)))
        return self._count(number, shard, asked, group.ignored, Sums.none(asked))

    def answered(self, sums: Sums) -> Outcomes:
        """The outcomes of all queries, which are of one group of cameras, from the sums over all shards."""
        found = unanswered(self.facts, self.protocol, self.length)
        (group,) = self.facts.groups
        _keep(list(self._questions(group, found)), sums)
        settle(found, self.protocol)
        return found

    def _questions(self, group: CameraGroup, found: Outcomes) -> Iterator[Question]:
        return questions(self.facts, group, self.positives, self.protocol, found)

    def _ask(self, asked: Sequence[Question], ignored: Sequence[int]) -> int:
        """Answer all questions; returns how many comparisons were ambiguous."""
        total = sum(int(np.count_nonzero(one.sizes)) for one in asked)
        with self.progress(total * len(self.shards), "evaluate", "queries") as bar:
            if len(self.shards) > 1:
                return sum(self._added_up(block, ignored, bar) for block in self._blocks(asked))
            ambiguous = 0
            for shard in self.shards:
                tasks = self._tasks(0, shard, asked, ignored)
                for counts in shard.engine.count(tasks):
                    bar.advance(len(counts.queries))
                    asked[counts.task].keep(asked[counts.task].sizes, counts)
                    ambiguous += counts.ambiguous
            return ambiguous

    def _tasks(
        self, number: int, shard: Shard, questions: Sequence[Question], ignored: Sequence[int]
    ) -> list[RankTask]:
        found = masks.candidates(shard.rows, self.protocol, ignored)
        return [one.task(number, shard.rows, found) for one in questions]

    def _blocks(self, asked: Sequence[Question]) -> Iterator[Sequence[Question]]:
        """The questions about blocks of queries whose counts may be held together."""
        needed = _needed(asked)
        queries = np.flatnonzero(needed)
        for block in split(queries, needed[queries], self.counts):
            yield [one.of(block) for one in asked]

    def _added_up(self, asked: Sequence[Question], ignored: Sequence[int], bar: Tracker) -> int:
        """Answer the questions about a block of queries with the sums over all shards."""
        sums = Sums.none(asked)
        for number, shard in enumerate(self.shards):
            sums = self._count(number, shard, asked, ignored, sums, bar)
        _keep(asked, sums)
        return sums.ambiguous

    def _count(
        self,
        number: int,
        shard: Shard,
        asked: Sequence[Question],
        ignored: Sequence[int],
        sums: Sums,
        bar: Tracker | None = None,
    ) -> Sums:
        """The counts of a shard, added to those of others."""
        tasks, ambiguous = self._tasks(number, shard, asked, ignored), sums.ambiguous
        for counts in shard.engine.count(tasks):
            task = tasks[counts.task]
            ahead = _nearest_first(counts.ahead, task.sizes[counts.queries])
            sums.ahead[counts.task][positive_slots(task, counts.queries)] += ahead
            ambiguous += counts.ambiguous
            if bar is not None:
                bar.advance(len(counts.queries))
        return attrs.evolve(sums, ambiguous=ambiguous)


def split(items: NDArray[np.intp], needed: NDArray[np.integer], most: int) -> list[NDArray[np.intp]]:
    """Consecutive runs of the items intp[n] that need `most` at most; an item that needs more is a run of its own.

    Example:
        >>> [run.tolist() for run in split(np.arange(5), np.array([2, 2, 2, 9, 1]), 4)]
        [[0, 1], [2], [3], [4]]
    """
    ends, runs, start = np.cumsum(needed), [], 0
    while start < len(items):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + most, side="right")))
        runs.append(items[start:stop])
        start = stop
    return runs


def _needed(asked: Sequence[Question]) -> NDArray[np.integer]:
    """Integers [q], counts of each query for all questions."""
    needed: NDArray[np.integer] = np.sum([one.sizes * one.width for one in asked], axis=0)
    return needed


def _keep(asked: Sequence[Question], sums: Sums) -> None:
    """Give each question its sums over all shards."""
    for number, (one, ahead) in enumerate(zip(asked, sums.ahead, strict=True)):
        if len(ahead):
            one.keep(one.sizes, RankCounts(task=number, queries=np.flatnonzero(one.sizes), ahead=ahead))


def _nearest_first(ahead: NDArray[np.integer], sizes: NDArray[np.intp]) -> NDArray[np.integer]:
    """Counts [p, width], sorted within each query and column; `sizes` are the positives of each query."""
    if (sizes == 1).all():
        return ahead
    owners = np.repeat(np.arange(len(sizes)), sizes)
    return np.stack([column[np.lexsort((column, owners))] for column in ahead.T], axis=1)
