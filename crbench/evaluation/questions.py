"""What a protocol asks of an engine about some queries, and where the answers go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.evaluation.labels import CameraGroup, LabelFacts
from crbench.evaluation.outcomes import Outcomes, Ranks
from crbench.evaluation.single_shot import Draw, Identities, draws
from crbench.protocol import EvalProtocol
from crbench.ranking.interface import RankCounts, RankTask
from crbench.records import Samples


@attrs.frozen(eq=False)
class Question:
    """What is asked about some queries.

    Attributes:
        positives: intp[P], rows as the engines know them, query by query.
        starts: intp[q + 1], see `crbench.ranking.interface.RankTask`.
        width: counts per positive.
        candidates: gives the candidates of a shard by its number, rows and all its candidates, and their columns.
        keep: takes `sizes` and the counts of queries, of which each positive's stand in a row, from the nearest to the
            farthest or in the order of the engine.
    """

    positives: NDArray[np.intp]
    starts: NDArray[np.intp]
    keep: Callable[[NDArray[np.intp], RankCounts], None]
    candidates: Callable[[int, Samples, NDArray[np.intp]], tuple[NDArray[np.intp], NDArray[np.intp]]]
    width: int = 1

    def of(self, queries: NDArray[np.intp]) -> Question:
        """The same about some of the queries only, intp[b]."""
        sizes = self.sizes
        chosen = np.zeros(len(sizes), dtype=np.bool_)
        chosen[queries] = True
        starts = np.concatenate([[0], np.cumsum(np.where(chosen, sizes, 0))])
        return attrs.evolve(self, positives=self.positives[np.repeat(chosen, sizes)], starts=starts)

    @property
    def sizes(self) -> NDArray[np.intp]:
        """intp[q], positives per query."""
        return np.diff(self.starts)

    def task(self, shard: int, rows: Samples, found: NDArray[np.intp]) -> RankTask:
        """What an engine is asked about a shard, of whose rows intp[c] are candidates."""
        return RankTask(self.positives, self.starts, *self.candidates(shard, rows, found), width=self.width)


def unanswered(facts: LabelFacts, protocol: EvalProtocol, length: int) -> Outcomes:
    """Arrays for the outcomes of all queries, to be filled, with curves of this length; candidates are there."""
    count, ranks = len(facts.matches.sizes), None
    candidates = facts.matches.sizes.astype(np.int64)
    for group in facts.groups:
        candidates[group.queries] += group.others
    if protocol.scoring.multi_shot or protocol.scoring.ap_gallery == "all":
        places = np.zeros(len(facts.matches.rows), dtype=np.int64)
        ranks = Ranks(places, facts.matches.starts.astype(np.int64), candidates)
    cmc = None if protocol.scoring.multi_shot else np.full((count, length), np.nan)
    return Outcomes(ranks, cmc, candidates, length)


def questions(
    facts: LabelFacts, group: CameraGroup, places: NDArray[np.intp], protocol: EvalProtocol, found: Outcomes
) -> Iterator[Question]:
    """What to ask about all queries by the rules of a group; answers go to `found`.

    Args:
        places: intp[P], positives as the engines know them.
    """
    starts, rows = facts.matches.starts, group.queries
    if found.cmc is not None and protocol.scoring.draws is not None:
        found.cmc[rows[facts.matches.sizes[rows] > 0]] = 0.0
        keep = partial(_add_draw, found.cmc)
        one_each = np.concatenate([[0], np.cumsum(facts.matches.sizes > 0)])
        for draw in draws(group.best, facts.matches, facts.shards, zero_known=facts.zero_known):
            yield Question(places[draw.positives], one_each, keep, partial(_of_draw, draw))
    elif found.cmc is not None and group.persons is not None:
        who = Identities.of(group.persons)
        keep = partial(_keep_expected, who.sizes, found.cmc)
        yield Question(places, starts, keep, partial(_by_identity, who), who.width)
    if found.ranks is not None:
        yield Question(places, starts, partial(_keep_ranks, starts, found.ranks.ranks), _all)


def settle(found: Outcomes, protocol: EvalProtocol) -> None:
    """Make curves of what draws added up, once all questions are answered."""
    if found.cmc is not None and protocol.scoring.draws is not None:
        found.cmc[:] /= protocol.scoring.draws


def _all(shard: int, rows: Samples, found: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """All candidates, in one column."""
    return found, np.zeros(len(found), dtype=np.intp)


def _by_identity(
    who: Identities, shard: int, rows: Samples, found: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """All candidates, in the columns of their identities."""
    return found, who.columns(rows.pids[found])


def _of_draw(
    draw: Draw, shard: int, rows: Samples, found: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The candidates of a draw, in one column."""
    return _all(shard, rows, draw.candidates(shard, rows, found))


def _keep_ranks(
    starts: NDArray[np.intp], ranks: NDArray[np.int64], sizes: NDArray[np.intp], counts: RankCounts
) -> None:
    """Write ranks of positives, ascending within a query, to i64[P], where those of query i begin at ``starts[i]``."""
    sizes = sizes[counts.queries]
    first = np.cumsum(sizes) - sizes
    owners = np.repeat(np.arange(len(sizes)), sizes)
    # A nearer positive never has more negatives ahead of it, so sorted counts are those of the positives in order.
    ahead = np.sort(owners << 32 | counts.ahead[:, 0]) & 0xFFFFFFFF
    place = np.arange(len(owners)) - first[owners]
    ranks[starts[counts.queries][owners] + place] = ahead + place + 1


def _keep_expected(
    images: NDArray[np.intp], cmc: NDArray[np.float64], sizes: NDArray[np.intp], counts: RankCounts
) -> None:
    """Write the expected curves of queries to their rows of f64[q, length]."""
    from crbench.metrics.single_shot import expected_curve  # compiles its loops

    starts = np.concatenate([[0], np.cumsum(sizes[counts.queries])])
    cmc[counts.queries] = expected_curve(counts.ahead, starts, images, cmc.shape[1])


def _add_draw(cmc: NDArray[np.float64], sizes: NDArray[np.intp], counts: RankCounts) -> None:
    """Count one draw in: the one positive of a query is in place 1 + negatives ahead of it."""
    cmc[counts.queries] += counts.ahead <= np.arange(cmc.shape[1])
