"""The leaderboard for other programs: CSV with one line per method, and JSON. Scores are raw fractions."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import attrs

from crbench.leaderboard.board import Block, Board, Row, View
from crbench.leaderboard.choice import chosen_columns, chosen_rows
from crbench.leaderboard.column import Column, Line
from crbench.leaderboard.columns import measured_columns
from crbench.leaderboard.joined import Joined
from crbench.leaderboard.other_columns import pair_columns, published_columns
from crbench.leaderboard.published import published_scores
from crbench.leaderboard.scores import in_order
from crbench.results import Result
from crbench.results.labels import component_label, failure_reason, inert


def render_csv(board: Board, view: View) -> str:
    """Comma-separated, one heading line; `part` is ``ranked``, ``partial``, ``pair``, ``failed`` or ``published``.

    Only columns that some line has are there; columns of speeds come last, each with its machine in the heading.
    Where columns are chosen, these are there, in their order.
    A text that a spreadsheet would run as a formula gets a single quote in front.
    """
    scores, printed = board.scores_shown(view), published_scores(view.published)
    measured = measured_columns(scores, board.speeds(), board.machines, view=view)
    lines = [
        *({"part": part, **_values(measured, row)} for part, row in _measured_rows(board, measured, view)),
        *({"part": "pair", **line} for line in _pairs(board, view)),
        *({"part": "failed", **_failed(result), "error": failure_reason(result)} for result in board.failed),
        *({"part": "published", **_values(published_columns(printed), row)} for row in view.published),
    ]
    named = chosen_columns(measured, view) if view.columns else []
    order = (
        ["part", *_keys(named)]
        if view.columns
        else [
            "part",  # published scores stand among the measured ones, speeds at the end
            *_keys(measured_columns(in_order([*scores, *printed]))),
            *_keys(pair_columns()),
            *_keys(published_columns(())),
            "error",
            *_keys(measured),
        ]
    )
    present = set(chain.from_iterable(lines))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    headings = [name for name in dict.fromkeys(order) if name in present]
    writer.writerow(map(inert, headings))
    writer.writerows([inert(line.get(name)) for name in headings] for line in lines)
    return buffer.getvalue()


def render_json(board: Board, view: View) -> str:
    """One object, with the fields of `Board`: `blocks` (ranked), `partial` (not), `failed`, and so on."""
    content = {
        "blocks": [_block(board, block, view) for block in board.blocks],
        "partial": [_block(board, block, view) for block in board.partial],
        "failed": [{**_failed(result), "error": result.error} for result in board.failed],
        "published": [attrs.asdict(row) for row in view.published],
        "apart": board.apart,
        "repeated": board.repeated,
        "unused_benchmarks": board.unused,
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _measured_rows(board: Board, columns: Sequence[Column[Row]], view: View) -> Iterator[tuple[str, Row]]:
    for part, blocks in (("ranked", board.blocks), ("partial", board.partial)):
        yield from ((part, row) for block in blocks for row in chosen_rows(block.rows, columns, view))


def _pairs(board: Board, view: View) -> Iterator[dict[str, Any]]:
    """The pairs of rows, with what names their block."""
    for block in board.blocks if view.pairwise else ():
        named = {name: getattr(block, name) for name in ("dataset", "title", "protocol", "fingerprint", "rate_source")}
        yield from ({**named, **_values(pair_columns(), pair)} for pair in block.pairs)


def _keys(columns: Iterable[Column[Any]]) -> list[str]:
    return [key for column in columns for key in column.keys]


def _values(columns: Iterable[Column[Line]], line: Line) -> dict[str, Any]:
    return {key: value for column in columns for key, value in zip(column.keys, column.values(line), strict=True)}


def _failed(result: Result) -> dict[str, Any]:
    """What is known of a failed cell."""
    backbone, aligner = component_label(result.method.backbone), component_label(result.method.aligner)
    columns = [column for column in measured_columns(()) if column.of_cell]
    return _values(columns, Row(trainings=(Joined.of([result]),), backbone=backbone, aligner=aligner, scores={}))


def _block(board: Board, block: Block, view: View) -> dict[str, Any]:
    columns = measured_columns(board.scores_shown(view), board.speeds(), board.machines, view=view)
    return {
        **{
            field.name: getattr(block, field.name)
            for field in attrs.fields(Block)
            if field.name not in ("rows", "pairs")
        },
        **({"pairs": [_values(pair_columns(), pair) for pair in block.pairs]} if view.pairwise else {}),
        "rows": [_row(board, row, view) for row in chosen_rows(block.rows, columns, view)],
    }


def _row(board: Board, row: Row, view: View) -> dict[str, Any]:
    """The columns of a row, with the scores that it has; its speeds by themselves, unless columns are chosen."""
    own = [score for score in board.scores_shown(view) if score.key in row.scores]
    if view.columns:
        return _values(chosen_columns(measured_columns(own, row.speeds, board.machines, view=view), view), row)
    return {
        **_values(measured_columns(own, view=view), row),
        "marks": dict(row.marks),
        "speeds": [attrs.asdict(speed) for speed in row.speeds],
    }
