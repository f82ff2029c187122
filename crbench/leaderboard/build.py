"""The rules of the leaderboard: which results stand together, in which order, and what each row shows.

Results are ranked only among equals: a block has one fingerprint (data set, rules, limit, evaluation version) and one
set of trials, with the same lists and the same images. A row is one method; its trials may come from several results
(`crbench.leaderboard.joined`), and it may have been trained several times (`crbench.leaderboard.trainings`). What
cannot be ranked is shown apart: parts of a protocol (``--limit``), evaluations of a version that is not known, results
that disagree, failed cells and published numbers.

Order: Rank-1, then mAP, highest first. Both are compared as printed (one decimal of a per cent), so that a reader can
check every place from the table. Rows that are equal in both share a place. The baseline (aligner ``none``) is ranked
like every other row, and marked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import attrs

from crbench.leaderboard.board import Block, Board, Row
from crbench.leaderboard.bounds import Bounds, bounds_of, marked_bounds, with_bounds
from crbench.leaderboard.choice import EVERYTHING, Choice
from crbench.leaderboard.comparable import comparable
from crbench.leaderboard.joined import Joined, join
from crbench.leaderboard.labels import distinct_labels
from crbench.leaderboard.ranking import ranked, sanity_warnings, with_gains
from crbench.leaderboard.scores import Score, scores_of, values_of
from crbench.leaderboard.speeds import fit_to_show, left_out, speeds_of
from crbench.leaderboard.trainings import by_recipe
from crbench.protocol import EVALUATION_VERSION
from crbench.protocol.hashing import digest
from crbench.results import BASELINE, Result
from crbench.results.labels import dataset_label, with_distinct_folders

if TYPE_CHECKING:
    from crbench.bench import Bench


def build(
    results: Iterable[Result],
    benches: Iterable[Bench] = (),
    ranks: Sequence[int] = (),
    choice: Choice = EVERYTHING,
    *,
    expand: bool = False,
    compare: bool | None = False,
    unasked: int = 0,
) -> Board:
    """Join results, sort them into blocks, rank them, and add the speeds that `benches` measured.

    The scores are those that results sum up, and those at `ranks` of the CMC. Rows are the methods of `choice`,
    or with `expand` each of their trainings. `compare`: see `crbench.leaderboard.paired.with_comparison`.

    Of several benchmarks of one column the newest counts. No date decides between results: where they disagree, the
    board says so. The order in which results and benchmarks are given does not matter.
    """
    everything, measured = with_distinct_folders(choice.of(list(results))), list(benches)
    done, unlike = comparable([result for result in everything if result.status == "ok"])
    scores, shown = scores_of(done, ranks), fit_to_show(measured)
    joinings = [join(group) for group in _grouped(done)]
    sets: dict[tuple[object, ...], list[Joined]] = defaultdict(list)
    for joined in (row for joining in joinings for row in joining.rows):
        sets[*_group(joined.result), joined.trial_set].append(joined)
    bounds = bounds_of(row for rows in sets.values() for row in rows)
    found = (
        _block([(one,) for one in rows] if expand else by_recipe(rows), scores, shown, ranks, choice, bounds)
        for rows in sets.values()
    )
    made = marked_bounds([block for block in found if block.rows])
    blocks = sorted((_compared(block, scores, compare, unasked) for block in made), key=_order)
    speeds = (speed for block in blocks for row in block.rows for speed in row.speeds)
    return Board(
        blocks=tuple(block for block in blocks if not block.unranked),
        partial=tuple(block for block in blocks if block.unranked),
        failed=tuple(result for result in _failed(everything) if choice.shows(result)),
        scores=scores,
        repeated=sum(joining.repeated for joining in joinings),
        apart=(*unlike, *sorted(note for joining in joinings for note in joining.notes)),
        machines=tuple(sorted({speed.machine for speed in speeds})),
        unused=left_out(measured, done),
    )


def _compared(block: Block, scores: Sequence[Score], wanted: bool | None, unasked: int) -> Block:
    """A block with its comparison, where it is wanted, or nothing was said and it takes no time to speak of."""
    results = [one for row in block.rows if row.rank is not None for one in row.results]
    if wanted is False or (wanted is None and all(one.outcomes is None for one in results)):
        return block
    if wanted is None and len(results) > unasked:
        note = f"Rows are not compared, as they are of more than {unasked} results; --compare compares them."
        return attrs.evolve(block, notes=(*block.notes, note))
    from crbench.leaderboard.paired import with_comparison  # imports SciPy

    return with_comparison(block, scores)


def _group(result: Result) -> tuple[str, ...]:
    return result.dataset, result.protocol.name, result.rate_source, result.fingerprint


def _grouped(results: Iterable[Result]) -> list[list[Result]]:
    groups: dict[tuple[str, ...], list[Result]] = defaultdict(list)
    for result in results:
        groups[_group(result)].append(result)
    return [groups[key] for key in sorted(groups)]


def _order(block: Block) -> tuple[object, ...]:
    """Of one fingerprint the largest set of trials first; bounds below what they are bounds of."""
    group = block.title, block.dataset, block.protocol, block.rate_source, block.bound, block.fingerprint
    return *group, -len(block.trials), block.trials, block.data


def _failed(results: Sequence[Result]) -> list[Result]:
    """The last failure of each cell that has no result: one that succeeded elsewhere has its numbers."""
    done = {result.cell_id for result in results if result.status == "ok"}
    cells: dict[str, Result] = {}
    for result in sorted(results, key=lambda result: (datetime.fromisoformat(result.created), result.error or "")):
        if result.status == "failed" and result.cell_id not in done:
            cells[result.cell_id] = result
    return sorted(cells.values(), key=lambda r: (r.dataset, r.method.backbone.name, r.method.aligner.name, r.cell_id))


def _block(
    methods: Sequence[tuple[Joined, ...]],
    scores: Sequence[Score],
    benches: Sequence[Bench],
    ranks: Sequence[int],
    choice: Choice,
    bounds: Bounds,
) -> Block:
    joined = [one for trainings in methods for one in trainings]
    first = joined[0].result
    results = [result for one in joined for result in one.results]
    sure = [result for one in joined if not one.disputed for result in one.results] or results
    trials = [trial for one in joined for trial in one.trials]
    rows = [_row(one, *label, benches, ranks) for one, label in zip(methods, distinct_labels(methods), strict=True)]
    rows.sort(key=lambda row: (row.backbone, row.aligner))
    unranked = _unranked(first)
    known = rows if unranked else with_bounds(with_gains(rows), bounds)
    chosen = [row for row in known if choice.shows(row.result)]
    return Block(
        dataset=first.dataset,
        title=dataset_label(first),
        protocol=first.protocol.name,
        rules=first.protocol.describe,
        fingerprint=first.fingerprint,
        rate_source=first.rate_source,
        limit=first.limit,
        unranked=unranked,
        chosen=choice.facts(),
        trials=tuple(trial.index for trial in joined[0].trials),
        data=digest(joined[0].trial_set),
        queries=_numbers(trial.n_query for trial in trials),
        gallery=_numbers(trial.n_gallery for trial in trials),
        persons=_numbers(trial.n_persons for trial in trials),
        deviations=tuple(dict.fromkeys(text for result in results for text in result.data.deviations)),
        versions=tuple(sorted({result.environment.crbench for result in results})),
        date=max(datetime.fromisoformat(result.created) for result in sure).date().isoformat(),
        rows=tuple(chosen if unranked else ranked(chosen, scores)),
        notes=() if unranked else tuple(sanity_warnings(chosen)),
    )


def _unranked(result: Result) -> str:
    """Why results of a block have no places; empty where they have."""
    if result.limit is not None:
        return f"part of the protocol only (--limit {result.limit}), not ranked"
    if result.evaluation_version > EVALUATION_VERSION:
        return f"evaluation version {result.evaluation_version}, unknown to this crbench, not ranked"
    return ""


def _numbers(counts: Iterable[int | None]) -> tuple[int, ...]:
    return tuple(sorted({count for count in counts if count is not None}))


def _row(
    trainings: tuple[Joined, ...], backbone: str, aligner: str, benches: Sequence[Bench], ranks: Sequence[int]
) -> Row:
    first = trainings[0].result
    timings = [result.timings for one in trainings for result in one.results]
    fits, transforms = ([one[stage] for one in timings if stage in one] for stage in ("fit", "transform"))
    fitted, taken = sum(fit.count for fit in fits), sum(transform.seconds for transform in transforms)
    return Row(
        trainings=trainings,
        backbone=backbone,
        aligner=aligner,
        scores=values_of(trainings, ranks),
        baseline=first.method.aligner.name == BASELINE,
        fit_s=sum(fit.seconds for fit in fits) / fitted if fitted else None,
        samples_per_s=sum(transform.count for transform in transforms) / taken if taken else None,
        speeds=speeds_of(first, benches),
    )
