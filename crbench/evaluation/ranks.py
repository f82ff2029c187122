"""From matches to outcomes: an engine's counts become ranks of positives, or curves where the gallery is drawn.

Counts over shards of the gallery add up. Within a query, a nearer positive never has more items ahead of it, whatever
the shard and the column. So the counts of a shard, sorted, are those of the positives from the nearest to the farthest,
and sums of sorted counts are what the whole gallery gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.api.context import Progress, Tracker
from crbench.evaluation import masks
from crbench.evaluation.gallery import Matches
from crbench.evaluation.outcomes import Outcomes, Ranks
from crbench.evaluation.single_shot import Draw, Identities, ShardCandidates, draws
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
class Question:
    """What is asked about some queries.

    Attributes:
        positives: intp[P], rows as the engines know them, query by query.
        starts: intp[q + 1], see `crbench.ranking.interface.RankTask`.
        width: counts per positive.
        candidates: gives the candidates of a shard by its number, rows and all its candidates, and their columns.
        keep: takes the counts of queries, of which each positive's stand in a row, from the nearest to the farthest or
            in the order of the engine.
    """

    positives: NDArray[np.intp]
    starts: NDArray[np.intp]
    keep: Callable[[RankTask, RankCounts], None]
    candidates: Callable[[int, Samples, NDArray[np.intp]], tuple[NDArray[np.intp], NDArray[np.intp]]]
    width: int = 1

    def of(self, queries: NDArray[np.intp]) -> Question:
        """The same about some of the queries only, intp[b]."""
        sizes = np.diff(self.starts)
        chosen = np.zeros(len(sizes), dtype=np.bool_)
        chosen[queries] = True
        starts = np.concatenate([[0], np.cumsum(np.where(chosen, sizes, 0))])
        return attrs.evolve(self, positives=self.positives[np.repeat(chosen, sizes)], starts=starts)

    def task(self, shard: int, rows: Samples, found: NDArray[np.intp]) -> RankTask:
        """What an engine is asked about a shard, of whose rows intp[c] are candidates."""
        return RankTask(self.positives, self.starts, *self.candidates(shard, rows, found), width=self.width)


@attrs.frozen(eq=False)
class Ranking:
    """The questions that a protocol asks of an engine.

    Attributes:
        matches: all positives of each query among all gallery images.
        positives: intp[P], their rows as the engines know them.
        query: labels.
        shards: of the gallery.
        stream: names the draws.
        progress: shows how many queries are answered.
        counts: most counts that are held at a time while those of several shards are added up.
        length: of the CMC curves.
    """

    matches: Matches
    positives: NDArray[np.intp]
    query: Samples
    shards: Shards
    protocol: EvalProtocol
    stream: str
    progress: Progress
    counts: int
    length: int = CURVE_LENGTH

    def outcomes(self, rows: range) -> tuple[Outcomes, int]:
        """The outcomes of the queries in these rows, and how many comparisons were ambiguous."""
        found = self._unanswered()
        ambiguous = 0
        for queries, ignored in masks.camera_groups(self.query, self.protocol):
            asked = queries[np.isin(queries, rows)]
            if not len(asked):
                continue
            if found.candidates is not None:
                found.candidates[asked] = self._valid_items(ignored)[asked]
            ambiguous += self._ask([one.of(asked) for one in self._questions(found, asked, ignored)], ignored)
        if found.cmc is not None and self.protocol.scoring.draws is not None:
            found.cmc[:] /= self.protocol.scoring.draws
        return found.take(np.array(rows, dtype=np.intp)), ambiguous

    def _unanswered(self) -> Outcomes:
        """Arrays for the outcomes of all queries, to be filled."""
        count, ranks = len(self.query), None
        candidates = np.zeros(count, dtype=np.int64)
        if self.protocol.scoring.multi_shot or self.protocol.scoring.ap_gallery == "all":
            places = np.zeros(len(self.positives), dtype=np.int64)
            ranks = Ranks(places, self.matches.starts.astype(np.int64), candidates)
        drawn = not self.protocol.scoring.multi_shot
        cmc = np.full((count, self.length), np.nan) if drawn else None
        return Outcomes(ranks, cmc, candidates, self.length)

    def _candidates(self, ignored: Sequence[int]) -> Iterator[ShardCandidates]:
        """The rows of each shard with those that may be ahead of a positive."""
        for shard in self.shards:
            yield shard.rows, masks.candidates(shard.rows, self.protocol, ignored)

    def _valid_items(self, ignored: Sequence[int]) -> NDArray[np.int64]:
        """i64[q], how many gallery images a query may find: the positives, and candidates of other persons."""
        found = self.matches.sizes.astype(np.int64)
        for rows, candidates in self._candidates(ignored):
            pids = np.sort(rows.pids[candidates])
            own = np.searchsorted(pids, self.query.pids, side="right") - np.searchsorted(pids, self.query.pids)
            found += len(pids) - own
        return found

    def _questions(self, found: Outcomes, asked: NDArray[np.intp], ignored: Sequence[int]) -> list[Question]:
        """What to ask about the queries of a group; answers go to `found`."""
        starts, questions = self.matches.starts, list[Question]()
        if found.cmc is not None and self.protocol.scoring.draws is not None:
            found.cmc[asked[self.matches.sizes[asked] > 0]] = 0.0
            questions += self._drawn(found.cmc, ignored)
        elif found.cmc is not None:
            who = Identities.of(self.query, self._candidates(ignored))
            keep = partial(_keep_expected, who.sizes, found.cmc)
            questions.append(Question(self.positives, starts, keep, partial(_by_identity, who, self.query), who.width))
        if found.ranks is not None:
            questions.append(Question(self.positives, starts, partial(_keep_ranks, starts, found.ranks.ranks), _all))
        return questions

    def _drawn(self, cmc: NDArray[np.float64], ignored: Sequence[int]) -> Iterator[Question]:
        """A question per draw."""
        answered = self.matches.sizes > 0
        starts = np.concatenate([[0], np.cumsum(answered)])
        count = self.protocol.scoring.draws or 0
        for draw in draws(count, self.stream, self.query, partial(self._candidates, ignored), self.matches):
            candidates = partial(_of_draw, draw, self.query)
            yield Question(self.positives[draw.positives], starts, partial(_add_draw, cmc), candidates)

    def _ask(self, questions: Sequence[Question], ignored: Sequence[int]) -> int:
        """Hand each answer on; how many comparisons were ambiguous."""
        total = sum(int(np.count_nonzero(np.diff(one.starts))) for one in questions)
        with self.progress(total * len(self.shards), "evaluate", "queries") as bar:
            if len(self.shards) > 1:
                return sum(self._added_up(block, ignored, bar) for block in self._blocks(questions))
            ambiguous = 0
            for shard in self.shards:
                tasks = self._tasks(0, shard, questions, ignored)
                for counts in shard.engine.count(tasks):
                    bar.advance(len(counts.queries))
                    questions[counts.task].keep(tasks[counts.task], counts)
                    ambiguous += counts.ambiguous
            return ambiguous

    def _tasks(
        self, number: int, shard: Shard, questions: Sequence[Question], ignored: Sequence[int]
    ) -> list[RankTask]:
        found = masks.candidates(shard.rows, self.protocol, ignored)
        return [one.task(number, shard.rows, found) for one in questions]

    def _blocks(self, questions: Sequence[Question]) -> Iterator[Sequence[Question]]:
        """The questions about blocks of queries whose counts may be held together."""
        needed = np.sum([np.diff(one.starts) * one.width for one in questions], axis=0)
        asked = np.flatnonzero(needed)
        block = (np.cumsum(needed[asked]) - needed[asked]) // self.counts
        for queries in np.split(asked, np.flatnonzero(np.diff(block)) + 1):
            if len(queries):  # of a shard of the queries, none may have a positive
                yield [one.of(queries) for one in questions]

    def _added_up(self, questions: Sequence[Question], ignored: Sequence[int], bar: Tracker) -> int:
        """Answer the questions about a block of queries with the sums over all shards."""
        sums = [np.zeros((len(one.positives), one.width), dtype=np.int64) for one in questions]
        tasks, ambiguous = list[RankTask](), 0
        for number, shard in enumerate(self.shards):
            tasks = self._tasks(number, shard, questions, ignored)
            for counts in shard.engine.count(tasks):
                task = tasks[counts.task]
                ahead = _nearest_first(counts.ahead, task.sizes[counts.queries])
                sums[counts.task][positive_slots(task, counts.queries)] += ahead
                bar.advance(len(counts.queries))
                ambiguous += counts.ambiguous
        for number, (one, task, ahead) in enumerate(zip(questions, tasks, sums, strict=True)):
            if len(ahead):
                one.keep(task, RankCounts(task=number, queries=np.flatnonzero(task.sizes), ahead=ahead))
        return ambiguous


def _all(shard: int, rows: Samples, found: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """All candidates, in one column."""
    return found, np.zeros(len(found), dtype=np.intp)


def _by_identity(
    who: Identities, query: Samples, shard: int, rows: Samples, found: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """All candidates, in the columns of their identities."""
    return found, who.columns(rows.pids[found], query)


def _of_draw(
    draw: Draw, query: Samples, shard: int, rows: Samples, found: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The candidates of a draw, in one column."""
    return _all(shard, rows, draw.candidates(shard, rows, found, query))


def _nearest_first(ahead: NDArray[np.integer], sizes: NDArray[np.intp]) -> NDArray[np.integer]:
    """Counts [p, width] of queries with so many positives each, sorted within each query and column."""
    if (sizes == 1).all():
        return ahead
    owners = np.repeat(np.arange(len(sizes)), sizes)
    return np.stack([column[np.lexsort((column, owners))] for column in ahead.T], axis=1)


def _keep_ranks(starts: NDArray[np.intp], ranks: NDArray[np.int64], task: RankTask, counts: RankCounts) -> None:
    """Write ranks of positives, ascending within a query, to i64[P], where those of query i begin at ``starts[i]``."""
    sizes = task.sizes[counts.queries]
    first = np.cumsum(sizes) - sizes
    owners = np.repeat(np.arange(len(sizes)), sizes)
    # A nearer positive never has more negatives ahead of it, so sorted counts are those of the positives in order.
    ahead = np.sort(owners << 32 | counts.ahead[:, 0]) & 0xFFFFFFFF
    place = np.arange(len(owners)) - first[owners]
    ranks[starts[counts.queries][owners] + place] = ahead + place + 1


def _keep_expected(sizes: NDArray[np.intp], cmc: NDArray[np.float64], task: RankTask, counts: RankCounts) -> None:
    """Write the expected curves of queries to their rows of f64[q, length]."""
    from crbench.metrics.single_shot import expected_curve  # compiles its loops

    starts = np.concatenate([[0], np.cumsum(task.sizes[counts.queries])])
    cmc[counts.queries] = expected_curve(counts.ahead, starts, sizes, cmc.shape[1])


def _add_draw(cmc: NDArray[np.float64], task: RankTask, counts: RankCounts) -> None:
    """Count one draw in: the one positive of a query is in place 1 + negatives ahead of it."""
    cmc[counts.queries] += counts.ahead <= np.arange(cmc.shape[1])
