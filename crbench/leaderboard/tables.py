"""The tables of a leaderboard as people read them; every format for people sets these cells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import attrs

from crbench.leaderboard.board import Block, Board, Row, View
from crbench.leaderboard.columns import Cell, Column, measured_columns, published_columns
from crbench.leaderboard.published import SOURCES, Published, published_scores
from crbench.results import Result
from crbench.results.labels import clean, component_label, failure_reason


@attrs.frozen
class Table:
    """A table ready to be set: columns, rows of cells, and what stands above and below it.

    `facts` are short phrases (data set first), `rules` is the protocol's readable line or empty, `warnings` are lines.
    """

    facts: tuple[str, ...]
    rules: str
    columns: tuple[Column[Any], ...]
    rows: tuple[tuple[Cell, ...], ...]
    baselines: tuple[bool, ...]
    warnings: tuple[str, ...] = ()


def block_table(board: Board, block: Block, view: View) -> Table:
    """The table of one block of a board; an unranked one has no places and no gains."""
    scores = [score for score in board.scores_shown(view) if any(score.key in row.scores for row in block.rows)]
    columns = [
        column
        for column in measured_columns(scores, block.speeds(), board.machines, timings=view.timings)
        if column.title and (block.ranked or not column.ranked)
    ]
    return Table(
        facts=_facts(block),
        rules=clean(block.rules),
        columns=tuple(columns),
        rows=tuple(tuple(column.cell(row, row.marks.get(column.key, "")) for column in columns) for row in block.rows),
        baselines=tuple(row.baseline and block.ranked for row in block.rows),
        warnings=tuple(_warnings(block.rows)),
    )


def _warnings(rows: Sequence[Row]) -> Iterator[str]:
    """Each warning of the results of `rows` once, with the rows that have it where not all do."""
    texts = dict.fromkeys(warning for row in rows for warning in row.result.warnings)
    for text in texts:
        named = [f"{row.backbone} + {row.aligner}" for row in rows if text in row.result.warnings]
        yield clean(f"warning: {text}" if len(named) == len(rows) else f"warning, {'; '.join(named)}: {text}")


def published_tables(rows: Sequence[Published]) -> list[Table]:
    """Published numbers, a table for each data set."""
    return [
        _published_table(dataset, [row for row in rows if row.dataset == dataset])
        for dataset in dict.fromkeys(row.dataset for row in rows)
    ]


def _published_table(dataset: str, rows: Sequence[Published]) -> Table:
    columns = [column for column in published_columns(published_scores(rows)) if column.title]
    return Table(
        facts=(clean(dataset), "published numbers, not measured here, not ranked"),
        rules="",
        columns=tuple(columns),
        rows=tuple(tuple(column.cell(row) for column in columns) for row in rows),
        baselines=(False,) * len(rows),
    )


def tables(board: Board, view: View) -> list[Table]:
    """All tables of a board: ranked blocks, parts of protocols, published numbers."""
    measured = [block_table(board, block, view) for block in (*board.blocks, *board.partial)]
    return measured + published_tables(view.published)


def footnote(tables: Iterable[Table]) -> str:
    """What the columns of `tables` mean, each footnote once; empty where no column needs one."""
    return " ".join(dict.fromkeys(column.footnote for table in tables for column in table.columns if column.footnote))


def notes(board: Board, view: View) -> list[str]:
    """What stands below the tables: machines, failed cells, what was left out, sources of the published numbers."""
    machines = enumerate(board.machines, start=1)
    lines = [f"[M{place}] median throughput by `crbench bench` on: {name}" for place, name in machines]
    lines += [f"failed: {failure(result)}" for result in board.failed]
    lines += board.unused
    if board.superseded:
        lines.append(f"left out, older results of cells that were run again: {board.superseded}")
    sources = [source for row in view.published for source in (row.source, row.also) if source]
    keys = sorted({source.split(",")[0].split(" ")[0] for source in sources})
    return lines + [f"† {key}: {SOURCES[key]}" for key in keys]


def below(tables: Iterable[Table], board: Board, view: View) -> list[str]:
    """The lines below `tables`: what their columns mean, then the notes."""
    return [*filter(None, [footnote(tables)]), *notes(board, view)]


def failure(result: Result) -> str:
    """One line on a failed cell: which, and the last line of its traceback."""
    backbone, aligner = component_label(result.method.backbone), component_label(result.method.aligner)
    return clean(f"{result.dataset}, protocol {result.protocol.name}, {backbone}, {aligner}: {failure_reason(result)}")


def _facts(block: Block) -> tuple[str, ...]:
    counts = "/".join(map(str, block.trials))
    return tuple(
        clean(fact)
        for fact in (
            block.dataset,
            *(() if block.ranked else ("part of the protocol only (--limit), not ranked",)),
            f"protocol {block.protocol}",
            f"{block.rate_source} rates",
            f"{counts} trial{'' if counts == '1' else 's'}",
            f"fingerprint {block.fingerprint}",
            f"crbench {'/'.join(block.versions)}",
            block.date,
        )
    )
