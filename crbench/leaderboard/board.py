"""The records of a leaderboard: a board has blocks, a block has rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from crbench.leaderboard import RANKS
from crbench.leaderboard.column import score_name
from crbench.leaderboard.joined import Joined
from crbench.leaderboard.scores import Score, Spread, SpreadKind
from crbench.leaderboard.speeds import Speed, columns_of
from crbench.published import Published
from crbench.results import LEVELS, SANITY, Level, Result, WeightsFacts


@attrs.frozen(kw_only=True)
class View:
    """What of a board is shown, in every format.

    Attributes:
        ranks: ranks of the CMC that tables have; R1 is always there, as rows are ranked by it.
        per_rate: R1 of the queries of each down-sampling rate too.
        timings: what runs took too, though nothing checked how busy the machine was.
        published: numbers that papers print, apart.
        columns: keys of the columns to show, in this order; empty = those that are shown by default.
        sort: key of the column that rows are ordered by, best first; empty = by their places.
        top: rows of each table that are shown; None = all.
        spread: what tables print beside a mean.
        pairwise: a table of all pairs of rows too.
        width: characters that a line of plain text may have, see `crbench.leaderboard.text`; None = any number.
    """

    ranks: tuple[int, ...] = RANKS
    per_rate: bool = False
    timings: bool = False
    published: tuple[Published, ...] = ()
    columns: tuple[str, ...] = ()
    sort: str = ""
    top: int | None = None
    spread: SpreadKind = "auto"
    pairwise: bool = False
    width: int | None = None


@attrs.frozen(kw_only=True)
class Row:
    """One measured method; its scores are means over its trainings.

    Attributes:
        trainings: the trials of each training, and the results that they come from; at least one.
        rank: place in its block, from 1; None = not ranked.
        backbone, aligner: labels, distinct within the block, free of control characters.
        baseline: the aligner changes nothing.
        scores: by `Score.key`; R1 of all queries and of each rate is always among them.
        places: the best and the worst one that it may have among the rows of its block; None = not known.
        unfounded: its scores do not follow from the outcomes of its queries, as far as these were read.
        like_best: another row has the highest R1, and the data do not tell them apart; None = not known, as where that
            row was not compared.
        gain: Rank-1 minus that of the baseline with the same backbone, weights and extraction, as a fraction; None
            where there is no such baseline, and for the baseline itself.
        over: the trainings of that baseline, which need not be a row; one for each of `trainings`, or none.
        bound: the aligner ``none`` on the same queries unshrunk, of another table; one for each training, or none.
        gap: the share of R1 between that baseline and the bound that the row closes; None where the data do not tell
            that there is a gap.
        fit_s: seconds of one fit, as the run took them; None = not measured.
        samples_per_s: throughput of the fitted aligner in the run; None = not measured.
        marks: ``best`` or ``second`` by `Score.key`.
        speeds: what ``crbench bench`` measured of the same method, at most one per `Speed.key`.
    """

    trainings: tuple[Joined, ...]
    backbone: str
    aligner: str
    scores: Mapping[str, Spread]
    rank: int | None = None
    baseline: bool = False
    places: tuple[int, int] | None = None
    unfounded: bool = False
    like_best: bool | None = None
    gain: Spread | None = None
    over: tuple[Joined, ...] = ()
    bound: tuple[Joined, ...] = ()
    gap: Spread | None = None
    fit_s: float | None = None
    samples_per_s: float | None = None
    marks: Mapping[str, str] = attrs.field(factory=dict)
    speeds: tuple[Speed, ...] = ()

    @property
    def result(self) -> Result:
        """The first of its results: data set, rules and method are those of all, but for the seed."""
        return self.joined.result

    @property
    def doubtful(self) -> bool:
        """Nothing tells its true scores, so it has no place, and no row has a gain over it."""
        return self.unfounded or self.joined.disputed

    @property
    def sanity(self) -> bool:
        """Its backbone looks at nobody."""
        backbone = self.result.method.backbone
        return backbone.name in SANITY and backbone.distribution == "crbench"

    @property
    def joined(self) -> Joined:
        """The first of its trainings; all have the same trials."""
        return self.trainings[0]

    @property
    def results(self) -> tuple[Result, ...]:
        """The results of all trainings."""
        return tuple(result for one in self.trainings for result in one.results)

    @property
    def weights(self) -> tuple[WeightsFacts, ...]:
        """The provenance of all weights that were used."""
        return tuple(dict.fromkeys(facts for one in self.trainings for facts in one.weights))

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings of all results, each once."""
        return tuple(dict.fromkeys(warning for one in self.trainings for warning in one.warnings))

    @property
    def level(self) -> Level:
        """How far all of its results were verified on this machine."""
        return min((one.level for one in self.trainings), key=LEVELS.index)


def trial_list(indices: Sequence[int]) -> str:
    """Trials as ``--trial`` takes them.

    Example:
        >>> trial_list([0, 1, 2, 5, 7, 8])
        '0-2,5,7-8'
    """
    runs: list[list[int]] = []
    for index in sorted(indices):
        if runs and index == runs[-1][-1] + 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return ",".join("-".join(map(str, dict.fromkeys((run[0], run[-1])))) for run in runs)


@attrs.frozen(kw_only=True)
class Pair:
    """Two rows over the same people.

    Attributes:
        first, second: their labels.
        difference: R1 of the first minus that of the second, with its interval.
        p: two-sided, of permutations over people; `p_holm`: corrected for the number of pairs in the block.
    """

    first: str
    second: str
    difference: Spread
    p: float
    p_holm: float


@attrs.frozen(kw_only=True)
class Block:
    """Rows that were evaluated alike, on the same trials: one table.

    Attributes:
        title: the data set, with its changed parameters.
        unranked: why rows have no places; empty = they have.
        chosen: phrases on the methods that the reader chose; only they are rows, and they have their places among them.
        bound: its queries are those of another block unshrunk, and a row of it is the bound of rows there.
        data: digest of the lists and images of `trials`.
        queries, gallery, persons: the numbers of queries, gallery images and identities among the queries that occur in
            trials; empty = not known (version 1).
        deviations: counts in which the data set differs from the published one.
        versions: of crbench.
        date: day of the newest result.
        pairs: of ranked rows, in order of their places; empty = they were not compared.
        resolution: the difference in R1 that the queries resolve, see `crbench.statistics.Differences.resolution`.
        people: whom the queries show that were compared.
        notes: lines on what was not compared.
    """

    dataset: str
    title: str
    protocol: str
    rules: str
    fingerprint: str
    rate_source: str
    limit: int | None
    unranked: str
    chosen: tuple[str, ...]
    trials: tuple[int, ...]
    data: str
    queries: tuple[int, ...]
    gallery: tuple[int, ...]
    persons: tuple[int, ...]
    deviations: tuple[str, ...]
    versions: tuple[str, ...]
    date: str
    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...] = ()
    resolution: float | None = None
    people: int | None = None
    notes: tuple[str, ...] = ()
    bound: bool = False

    def speeds(self) -> list[Speed]:
        """One speed for each column of speeds that any row has, in the order of the columns."""
        return columns_of(speed for row in self.rows for speed in row.speeds)


@attrs.frozen(kw_only=True)
class Board:
    """All that a leaderboard shows of measured results.

    Attributes:
        scores: those that any row has, in order.
        repeated: number of results that only repeat trials of others, left out.
        apart: one line for each thing that was not joined or that disagrees, with the names of files.
        machines: those of all speeds, sorted.
        unused: one line for each benchmark that no row shows.
    """

    blocks: tuple[Block, ...]
    partial: tuple[Block, ...]
    failed: tuple[Result, ...]
    scores: tuple[Score, ...] = ()
    repeated: int = 0
    apart: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    def scores_shown(self, view: View) -> list[Score]:
        """The scores of all queries, and those at each rate where the view has them or names them."""
        asked = {*map(score_name, view.columns), view.sort}
        return [
            score for score in self.scores if view.per_rate or score.rate is None or asked & {score.key, score.title}
        ]

    def speeds(self) -> list[Speed]:
        """One speed for each column of speeds that any block has, in the order of the columns."""
        return columns_of(speed for block in (*self.blocks, *self.partial) for speed in block.speeds())
