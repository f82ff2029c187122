"""From a task to outcomes: an engine's counts become ranks of positives, or curves where the gallery is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.api.context import Progress
from crbench.evaluation import masks
from crbench.evaluation.outcomes import Outcomes, Ranks
from crbench.metrics.cmc import CURVE_LENGTH
from crbench.protocol import EvalProtocol
from crbench.ranking.interface import Engine, RankCounts, RankTask, positive_slots
from crbench.records import Samples

_Question = tuple[RankTask, Callable[[RankCounts], None]]
"""A task, and what takes each answer to it."""


@attrs.frozen(eq=False)
class Ranking:
    """The questions that a protocol asks of an engine.

    Attributes:
        task: all positives of each query among all gallery images.
        query, gallery: labels.
        stream: names the draws.
        progress: shows how many queries are answered.
        length: of the CMC curves.
    """

    task: RankTask
    query: Samples
    gallery: Samples
    protocol: EvalProtocol
    stream: str
    progress: Progress
    length: int = CURVE_LENGTH

    def outcomes(self, engine: Engine, rows: range) -> tuple[Outcomes, int]:
        """The outcomes of the queries in these rows, and how many comparisons were ambiguous."""
        found = self._unanswered()
        ambiguous = 0
        for queries, items in masks.query_gallery_masks(self.query, self.gallery, self.protocol):
            asked = queries[np.isin(queries, rows)]
            if not len(asked):
                continue
            mine = masks.restricted(self.task, asked, items)
            if found.candidates is not None:
                found.candidates[asked] = masks.valid_items(mine, self.query, self.gallery)[asked]
            ambiguous += self._ask(engine, self._questions(mine, found))
        if found.cmc is not None and self.protocol.scoring.draws is not None:
            found.cmc[:] /= self.protocol.scoring.draws
        return found.take(np.array(rows, dtype=np.intp)), ambiguous

    def _unanswered(self) -> Outcomes:
        """Arrays for the outcomes of all queries, to be filled."""
        count, ranks = len(self.query), None
        candidates = np.zeros(count, dtype=np.int64)
        if self.protocol.scoring.multi_shot or self.protocol.scoring.ap_gallery == "all":
            places = np.zeros(len(self.task.positives), dtype=np.int64)
            ranks = Ranks(places, self.task.starts.astype(np.int64), candidates)
        drawn = not self.protocol.scoring.multi_shot
        cmc = np.full((count, self.length), np.nan) if drawn else None
        return Outcomes(ranks, cmc, candidates, self.length)

    def _questions(self, task: RankTask, found: Outcomes) -> list[_Question]:
        """What to ask about some queries; answers go to `found`."""
        questions: list[_Question] = []
        if found.cmc is not None:
            who = masks.identities(task, self.query, self.gallery)
            if self.protocol.scoring.draws is not None:
                drawing = masks.Drawing(task, who, self.gallery, self.stream)
                found.cmc[task.sizes > 0] = 0.0
                questions += [
                    (drawing.task(draw), partial(_add_draw, found.cmc)) for draw in range(self.protocol.scoring.draws)
                ]
            else:
                expected = masks.by_identity(task, who)
                questions.append((expected, partial(_keep_expected, expected, who.sizes, found.cmc)))
        if found.ranks is not None:
            questions.append((task, partial(_keep_ranks, self.task, found.ranks.ranks)))
        return questions

    def _ask(self, engine: Engine, questions: Sequence[_Question]) -> int:
        """Hand each answer on; how many comparisons were ambiguous."""
        ambiguous = 0
        for counts in self._shown(engine, [task for task, _ in questions]):
            questions[counts.task][1](counts)
            ambiguous += counts.ambiguous
        return ambiguous

    def _shown(self, engine: Engine, tasks: Sequence[RankTask]) -> Iterator[RankCounts]:
        total = sum(int(np.count_nonzero(task.sizes)) for task in tasks)
        with self.progress(total, "evaluate", "queries") as bar:
            for counts in engine.count(tasks):
                bar.advance(len(counts.queries))
                yield counts


def _keep_ranks(task: RankTask, ranks: NDArray[np.int64], counts: RankCounts) -> None:
    """Write ranks of positives, ascending within a query, to their places in i64[P] of `task`."""
    sizes = task.sizes[counts.queries]
    first = np.cumsum(sizes) - sizes
    owners = np.repeat(np.arange(len(sizes)), sizes)
    # A nearer positive never has more negatives ahead of it, so sorted counts are those of the positives in order.
    ahead = np.sort(owners << 32 | counts.ahead[:, 0]) & 0xFFFFFFFF
    place = np.arange(1, len(owners) + 1) - first[owners]
    ranks[positive_slots(task, counts.queries)] = ahead + place


def _keep_expected(task: RankTask, sizes: NDArray[np.intp], cmc: NDArray[np.float64], counts: RankCounts) -> None:
    """Write the expected curves of queries to their rows of f64[q, length]."""
    from crbench.metrics.single_shot import expected_curve  # compiles its loops

    starts = np.concatenate([[0], np.cumsum(task.sizes[counts.queries])])
    cmc[counts.queries] = expected_curve(counts.ahead, starts, sizes, cmc.shape[1])


def _add_draw(cmc: NDArray[np.float64], counts: RankCounts) -> None:
    """Count one draw in: the one positive of a query is in place 1 + negatives ahead of it."""
    cmc[counts.queries] += counts.ahead <= np.arange(cmc.shape[1])
