"""The rules of the leaderboard: which results stand together, in which order, and what each row shows.

Results are ranked only among equals: same fingerprint (data set, rules, limit, evaluation version), and same trials on
the same images. Results of a part of a protocol (``--limit``), failed cells and published numbers are shown apart,
unranked.

Order: Rank-1, then mAP, highest first. Both are compared as printed (one decimal of a per cent), so that a reader can
check every place from the table. Rows that are equal in both share a place. The baseline (aligner ``none``) is ranked
like every other row, and marked.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING

import attrs

from crbench.leaderboard.board import Block, Board, Row
from crbench.leaderboard.labels import distinct_labels
from crbench.leaderboard.scores import Score, Spread, scores_of, values_of
from crbench.leaderboard.speeds import fit_to_show, left_out, speeds_of
from crbench.results import BASELINE, Result, to_json

if TYPE_CHECKING:
    from crbench.bench import Bench


def build(results: Iterable[Result], benches: Iterable[Bench] = ()) -> Board:
    """Sort results into blocks, rank them, and add the speeds that `benches` measured.

    Of several results of one cell the newest counts, and so does the newest of several benchmarks of one column. The
    order in which results and benchmarks are given does not matter.
    """
    everything, measured = list(results), list(benches)
    newest, shown = _newest(everything), fit_to_show(measured)
    done = [result for result in newest if result.status == "ok"]
    scores = scores_of(done)
    blocks = _blocks([result for result in done if result.rankable], scores, shown, ranked=True)
    partial = _blocks([result for result in done if not result.rankable], scores, shown, ranked=False)
    speeds = (speed for block in (*blocks, *partial) for row in block.rows for speed in row.speeds)
    return Board(
        blocks=blocks,
        partial=partial,
        failed=tuple(result for result in newest if result.status == "failed"),
        scores=scores,
        superseded=len(everything) - len(newest),
        machines=tuple(sorted({speed.machine for speed in speeds})),
        unused=left_out(measured, done),
    )


def _newest(results: Iterable[Result]) -> list[Result]:
    """The newest result of each cell, ordered by what it is, not by how it was given."""
    cells: dict[str, Result] = {}
    for result in results:
        known = cells.get(result.cell_id)
        cells[result.cell_id] = result if known is None else _newer(known, result)
    return sorted(cells.values(), key=lambda r: (r.dataset, r.method.backbone.name, r.method.aligner.name, r.cell_id))


def _newer(one: Result, other: Result) -> Result:
    """Of two results of a cell the one that was made later; made at the same time, the one whose text sorts last."""
    if one == other:
        return one
    first, second = (datetime.fromisoformat(result.created) for result in (one, other))
    if first != second:
        return one if first > second else other
    return max(one, other, key=to_json)


def _group(result: Result) -> tuple[str, ...]:
    return result.dataset, result.protocol.name, result.rate_source, result.fingerprint, repr(result.trial_set)


def _blocks(
    results: Iterable[Result], scores: Sequence[Score], benches: Sequence[Bench], *, ranked: bool
) -> tuple[Block, ...]:
    groups = groupby(sorted(results, key=_group), key=_group)
    return tuple(_block(list(group), scores, benches, ranked=ranked) for _, group in groups)


def _block(results: Sequence[Result], scores: Sequence[Score], benches: Sequence[Bench], *, ranked: bool) -> Block:
    first = results[0]
    labels = distinct_labels(results)
    rows = [_row(result, *label, benches) for result, label in zip(results, labels, strict=True)]
    rows.sort(key=lambda row: (row.backbone, row.aligner, row.result.cell_id))
    return Block(
        dataset=first.dataset,
        protocol=first.protocol.name,
        rules=first.protocol.describe,
        fingerprint=first.fingerprint,
        rate_source=first.rate_source,
        ranked=ranked,
        trials=tuple(sorted({len(result.trials) for result in results})),
        versions=tuple(sorted({result.environment.crbench for result in results})),
        date=max(datetime.fromisoformat(result.created) for result in results).date().isoformat(),
        rows=tuple(_ranked(rows, scores) if ranked else rows),
    )


def _row(result: Result, backbone: str, aligner: str, benches: Sequence[Bench]) -> Row:
    fit, transform = (result.timings.get(stage) for stage in ("fit", "transform"))
    return Row(
        result=result,
        backbone=backbone,
        aligner=aligner,
        scores=values_of(result),
        baseline=result.method.aligner.name == BASELINE,
        fit_s=fit.seconds / fit.count if fit and fit.count else None,
        samples_per_s=transform.per_second if transform else None,
        speeds=speeds_of(result, benches),
    )


def _ranked(rows: Sequence[Row], scores: Sequence[Score]) -> list[Row]:
    """Rows in order of their places, with gains and marks; rows of equal place keep their order."""
    places = [tuple(_printed(row, Score(name)) or 0.0 for name in ("R1", "mAP")) for row in rows]
    first = {place: 1 + sum(other > place for other in places) for place in set(places)}
    baselines = {_features(row.result): row for row in rows if row.baseline}
    ranked = [
        attrs.evolve(
            row,
            rank=first[place],
            gain=None if row.baseline else _gain(row, baselines.get(_features(row.result))),
            marks=marks,
        )
        for row, place, marks in zip(rows, places, _marks(rows, scores), strict=True)
    ]
    return sorted(ranked, key=lambda row: row.rank or 0)


def _printed(row: Row, score: Score) -> float | None:
    value = row.scores.get(score.key)
    return None if value is None else score.printed(value.mean)


def _marks(rows: Sequence[Row], scores: Sequence[Score]) -> list[dict[str, str]]:
    """For each row, its scores that are the best or second best of their column, as printed; none where all agree."""
    marks: list[dict[str, str]] = [{} for _ in rows]
    for score in scores:
        values = [_printed(row, score) for row in rows]
        order = sorted({value for value in values if value is not None}, reverse=not score.lower_is_better)
        leaders = dict(zip(order, ("best", "second"), strict=False)) if len(order) > 1 else {}
        for own, value in zip(marks, values, strict=True):
            if value in leaders:
                own[score.key] = leaders[value]
    return marks


def _features(result: Result) -> tuple[object, ...]:
    """What made the features of a cell: two cells that share it differ by their aligners alone."""
    backbone = result.method.backbone
    parameters = json.dumps(backbone.parameters, sort_keys=True)
    return backbone.name, backbone.version, parameters, backbone.weights_sha256, result.extraction


def _gain(row: Row, baseline: Row | None) -> Spread | None:
    """Rank-1 over that of the baseline, as differences trial by trial where both have the same trials."""
    if baseline is None:
        return None
    own, other = ({trial.index: trial.cmc[0] for trial in one.result.trials} for one in (row, baseline))
    if own.keys() != other.keys():
        return Spread(statistics.fmean(own.values()) - statistics.fmean(other.values()))
    differences = [own[index] - other[index] for index in own]
    return Spread(statistics.fmean(differences), statistics.stdev(differences) if len(differences) > 1 else None)
