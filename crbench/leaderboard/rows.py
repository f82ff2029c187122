"""The rules of the leaderboard: which results stand together, in which order, and what each row shows.

Results are ranked only among equals: same fingerprint (data set, rules, splits, skipped images) and same source of the
rates. Results of a part of a protocol (``--limit``), failed cells and published numbers are shown apart, unranked.

Order: Rank-1, then mAP, highest first. Both are compared as printed (one decimal of a per cent), so that a reader can
check every place from the table; rows that are equal so far share it. The baseline (aligner ``none``) is ranked like
every other row, and marked.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING

import attrs

from crbench.leaderboard.labels import distinct_labels
from crbench.leaderboard.speeds import Speed, fit_to_show, left_out, speeds_of
from crbench.results import BASELINE, MetricFacts, Result, Summary, summarise, summarise_rates, to_json

if TYPE_CHECKING:
    from crbench.bench import Bench


@attrs.frozen(kw_only=True)
class Row:
    """One measured method.

    Attributes:
        rank: place in its block, from 1; None = not ranked.
        backbone, aligner: labels, distinct within the block, free of control characters.
        baseline: the aligner changes nothing.
        gain: Rank-1 minus that of the baseline with the same backbone, weights and extraction, over the trials, as
            fractions: mean and standard deviation; None where there is no such baseline, and for the baseline itself.
        fit_s: seconds of one fit; None = not measured.
        samples_per_s: throughput of the fitted aligner; None = not measured.
        marks: score to ``best`` or ``second``; scores as in `Row.scores`.
        speeds: what ``crbench bench`` measured of the same method, at most one per `Speed.key`.
    """

    result: Result
    backbone: str
    aligner: str
    rank: int | None = None
    baseline: bool = False
    gain: tuple[float, float | None] | None = None
    fit_s: float | None = None
    samples_per_s: float | None = None
    marks: Mapping[str, str] = attrs.field(factory=dict)
    speeds: tuple[Speed, ...] = ()

    def scores(self) -> dict[str, Summary]:
        """All scores by column: ``R1``, ``mAP``, ..., and ``R1@2`` for Rank-1 at rate 2."""
        trials = self.result.trials
        rates = {f"R1@{rate}": metrics["R1"] for rate, metrics in summarise_rates(trials, [1]).items()}
        return {**summarise(trials, [1]), **self.result.metrics, **rates}


@attrs.frozen(kw_only=True)
class Block:
    """Rows that were evaluated alike; `ranked` unless they cover a part of the protocol only.

    `trials` and `versions` (of crbench) are those that occur, `date` is the day of the newest result.
    """

    dataset: str
    protocol: str
    rules: str
    fingerprint: str
    rate_source: str
    ranked: bool
    trials: tuple[int, ...]
    versions: tuple[str, ...]
    date: str
    rows: tuple[Row, ...]

    def scores(self, per_rate: bool) -> list[str]:
        """The score columns that any row has: R1, R5, R10, then mAP and others, then Rank-1 at each rate if wanted."""
        present = {name for row in self.rows for name in row.scores()}
        others = dict.fromkeys(name for row in self.rows for name in row.result.metric_facts if name in present)
        rates = sorted((name for name in present if "@" in name), key=lambda name: float(name.partition("@")[2]))
        return [*(name for name in ("R1", "R5", "R10") if name in present), *others, *(rates if per_rate else [])]

    def facts(self, name: str) -> MetricFacts | None:
        """What a score is, as the first row says that has it; None for a rank of the CMC."""
        found = (row.result.metric_facts.get(name) for row in self.rows)
        return next((facts for facts in found if facts is not None), None)

    def speeds(self) -> list[Speed]:
        """One speed for each column of speeds that any row has, in the order of the columns."""
        found = {speed.key: speed for row in self.rows for speed in row.speeds}
        return [found[key] for key in sorted(found)]


@attrs.frozen(kw_only=True)
class Board:
    """All that a leaderboard shows of measured results.

    Attributes:
        superseded: number of older results of a cell, left out.
        machines: those of all speeds, sorted.
        unused: one line for each benchmark that no row shows.
    """

    blocks: tuple[Block, ...]
    partial: tuple[Block, ...]
    failed: tuple[Result, ...]
    superseded: int = 0
    machines: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()


def printed(fraction: float) -> float:
    """A fraction in per cent, rounded as tables print it.

    Example:
        >>> printed(0.71249)
        71.2
    """
    return round(100 * fraction, 1)


def build(results: Iterable[Result], benches: Iterable[Bench] = ()) -> Board:
    """Sort results into blocks and rank them, with the speeds of `benches` beside; no order of entry matters.

    Of several results of one cell the newest counts, and of several benchmarks of one column.
    """
    everything, measured = list(results), list(benches)
    newest, shown = _newest(everything), fit_to_show(measured)
    done = [result for result in newest if result.status == "ok"]
    blocks = _blocks([result for result in done if result.rankable], shown, ranked=True)
    partial = _blocks([result for result in done if not result.rankable], shown, ranked=False)
    speeds = (speed for block in (*blocks, *partial) for row in block.rows for speed in row.speeds)
    return Board(
        blocks=blocks,
        partial=partial,
        failed=tuple(result for result in newest if result.status == "failed"),
        superseded=len(everything) - len(newest),
        machines=tuple(sorted({speed.machine for speed in speeds})),
        unused=left_out(measured, done),
    )


def _newest(results: Sequence[Result]) -> list[Result]:
    """One result per cell, ordered by what it is, not by how it was given."""
    ordered = sorted(results, key=lambda result: (datetime.fromisoformat(result.created), to_json(result)))
    cells = {result.cell_id: result for result in ordered}
    return sorted(cells.values(), key=lambda r: (r.dataset, r.method.backbone.name, r.method.aligner.name, r.cell_id))


def _group(result: Result) -> tuple[str, str, str, str]:
    return result.dataset, result.protocol.name, result.rate_source, result.fingerprint


def _blocks(results: Iterable[Result], benches: Sequence[Bench], *, ranked: bool) -> tuple[Block, ...]:
    groups = groupby(sorted(results, key=_group), key=_group)
    return tuple(_block(list(group), benches, ranked=ranked) for _, group in groups)


def _block(results: Sequence[Result], benches: Sequence[Bench], *, ranked: bool) -> Block:
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
        rows=tuple(_ranked(rows) if ranked else rows),
    )


def _row(result: Result, backbone: str, aligner: str, benches: Sequence[Bench]) -> Row:
    fit, transform = (result.timings.get(stage) for stage in ("fit", "transform"))
    return Row(
        result=result,
        backbone=backbone,
        aligner=aligner,
        baseline=result.method.aligner.name == BASELINE,
        fit_s=fit.seconds / fit.count if fit and fit.count else None,
        samples_per_s=transform.per_second if transform else None,
        speeds=speeds_of(result, benches),
    )


def _ranked(rows: Sequence[Row]) -> list[Row]:
    """Rows in order of their places, with gains and marks; rows of equal place keep their order."""
    scores = [{name: _printed(row, name, score) for name, score in row.scores().items()} for row in rows]
    lower = {name for row in rows for name, facts in row.result.metric_facts.items() if not facts.higher_is_better}
    places = [(score["R1"], score.get("mAP", 0.0)) for score in scores]
    baselines = {_encoder(row.result): row for row in rows if row.baseline}
    ranked = [
        attrs.evolve(
            row,
            rank=1 + sum(other > place for other in places),
            gain=None if row.baseline else _gain(row, baselines.get(_encoder(row.result))),
            marks=marks,
        )
        for row, place, marks in zip(rows, places, _marks(scores, lower), strict=True)
    ]
    return sorted(ranked, key=lambda row: row.rank or 0)


def _printed(row: Row, name: str, score: Summary) -> float:
    facts = row.result.metric_facts.get(name)
    return printed(score.mean) if facts is None or facts.unit == "fraction" else score.mean


def _marks(scores: Sequence[Mapping[str, float]], lower: Collection[str]) -> list[dict[str, str]]:
    """For each row, its scores that are the best or second best of their column, as printed; none where all agree."""
    leaders: dict[str, dict[float, str]] = {}
    for name in {name for row in scores for name in row}:
        values = sorted({row[name] for row in scores if name in row}, reverse=name not in lower)
        leaders[name] = dict(zip(values, ("best", "second"), strict=False)) if len(values) > 1 else {}
    return [{name: leaders[name][value] for name, value in row.items() if value in leaders[name]} for row in scores]


def _encoder(result: Result) -> tuple[object, ...]:
    """What two cells must share for their difference to be the aligner's doing."""
    backbone = result.method.backbone
    parameters = json.dumps(backbone.parameters, sort_keys=True)
    return backbone.name, backbone.version, parameters, backbone.weights_sha256, result.extraction


def _gain(row: Row, baseline: Row | None) -> tuple[float, float | None] | None:
    """Mean and standard deviation of the Rank-1 differences, trial by trial: both saw the same splits."""
    if baseline is None:
        return None
    own, other = ({trial.index: trial.cmc[0] for trial in one.result.trials} for one in (row, baseline))
    if own.keys() != other.keys():
        return statistics.fmean(own.values()) - statistics.fmean(other.values()), None
    differences = [own[index] - other[index] for index in own]
    return statistics.fmean(differences), statistics.stdev(differences) if len(differences) > 1 else None
