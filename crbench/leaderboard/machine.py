"""The leaderboard for other programs: CSV with one line per method, and JSON. Scores are raw fractions."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import attrs

from crbench.leaderboard.published import Published
from crbench.leaderboard.rows import Block, Board, Row
from crbench.leaderboard.speeds import Speed
from crbench.results import Result
from crbench.results.labels import clean, component_label

_SCORES = ("R1", "R5", "R10", "R20", "mAP", "mINP")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def render_csv(board: Board, rows: Sequence[Published], *, per_rate: bool) -> str:
    """Comma-separated, one heading line; `part` is ``ranked``, ``partial``, ``failed`` or ``published``.

    Columns of speeds come last, each with its machine in the heading.
    A text that a spreadsheet would run as a formula gets a single quote in front.
    """
    lines = [*_measured(board, per_rate), *map(_failed, board.failed), *map(_printed, rows)]
    names = ("part", "rank", "dataset", "protocol", "fingerprint", "rate_source", "backbone", "aligner", "baseline")
    shown = {speed.key: speed for block in (*board.blocks, *board.partial) for speed in block.speeds()}
    speeds = [_heading(shown[key]) for key in sorted(shown)]
    scores = sorted({name for line in lines for name in line}.difference(names, speeds), key=_column_order)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [*names, *scores, *speeds], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _inert(value) for name, value in line.items()} for line in lines)
    return buffer.getvalue()


def render_json(board: Board, rows: Sequence[Published], *, per_rate: bool) -> str:
    """One object: `blocks` (ranked), `partial` (not), `failed`, `published`, `superseded`, `unused_benchmarks`."""
    content = {
        "blocks": [_block(block, per_rate) for block in board.blocks],
        "partial": [_block(block, per_rate) for block in board.partial],
        "failed": [{**_identity(result), "error": result.error} for result in board.failed],
        "published": [attrs.asdict(row) for row in rows],
        "superseded": board.superseded,
        "unused_benchmarks": board.unused,
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


_TAIL = (
    *("gain", "gain_std", "parameters", "fit_s", "samples_per_s", "trials", "created", "crbench", "cell_id", "command"),
    *("year", "rates", "source", "also", "note", "error"),
)


def _column_order(name: str) -> tuple[int, float, str, bool]:
    """Scores in the usual order, each before its standard deviation, then Rank-1 by rate, then costs and origin."""
    if name in _TAIL:
        return 2, _TAIL.index(name), "", False
    score, _, std = name.partition("_")
    metric, _, rate = score.partition("@")
    if rate:
        return 1, float(rate), "", bool(std)
    return 0, _SCORES.index(metric) if metric in _SCORES else len(_SCORES), metric, bool(std)


def _inert(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _measured(board: Board, per_rate: bool) -> Iterator[dict[str, Any]]:
    for part, blocks in (("ranked", board.blocks), ("partial", board.partial)):
        for block in blocks:
            for row in block.rows:
                speeds = {_heading(speed): speed.per_second for speed in row.speeds}
                yield {"part": part, **_facts(row, per_rate), **speeds}


def _heading(speed: Speed) -> str:
    return f"{speed.title} @ {speed.machine}"


def _failed(result: Result) -> dict[str, Any]:
    return {"part": "failed", **_identity(result), "error": clean((result.error or "").strip().rpartition("\n")[2])}


def _printed(row: Published) -> dict[str, Any]:
    fields = {"dataset": row.dataset, "protocol": row.protocol, "backbone": row.backbone}
    origin = {"year": row.year, "rates": row.rates, "source": row.source, "also": row.also, "note": row.note}
    return {"part": "published", **fields, "aligner": row.method, **row.scores, **origin}


def _identity(result: Result) -> dict[str, Any]:
    return {
        "dataset": clean(result.dataset),
        "protocol": clean(result.protocol.name),
        "fingerprint": clean(result.fingerprint),
        "rate_source": clean(result.rate_source),
        "backbone": component_label(result.method.backbone),
        "aligner": component_label(result.method.aligner),
        "created": result.created,
        "crbench": clean(result.environment.crbench),
        "cell_id": result.cell_id,
        "command": clean(result.command),
    }


def _facts(row: Row, per_rate: bool) -> dict[str, Any]:
    gain, gain_std = row.gain or (None, None)
    scores = {
        key: number
        for name, score in row.scores().items()
        if name in _SCORES or name in row.result.metric_facts or (per_rate and "@" in name)
        for key, number in ((name, score.mean), (f"{name}_std", score.std))
    }
    return {
        "rank": row.rank,
        **_identity(row.result),
        "backbone": row.backbone,
        "aligner": row.aligner,
        "baseline": row.baseline,
        **scores,
        "gain": gain,
        "gain_std": gain_std,
        "parameters": row.result.method.aligner.parameter_count,
        "fit_s": row.fit_s,
        "samples_per_s": row.samples_per_s,
        "trials": len(row.result.trials),
    }


def _block(block: Block, per_rate: bool) -> dict[str, Any]:
    shared: Iterable[str] = ("dataset", "protocol", "rules", "fingerprint", "rate_source", "trials", "versions", "date")
    rows = [
        {**_facts(row, per_rate), "marks": dict(row.marks), "speeds": [attrs.asdict(speed) for speed in row.speeds]}
        for row in block.rows
    ]
    return {**{name: getattr(block, name) for name in shared}, "rows": rows}
