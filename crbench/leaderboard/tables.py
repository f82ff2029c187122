"""The tables of a leaderboard as people read them; every format for people sets these cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import attrs

from crbench.leaderboard.board import Block, Board, Row, View, trial_list
from crbench.leaderboard.choice import chosen_columns, chosen_rows
from crbench.leaderboard.column import Cell, Column
from crbench.leaderboard.columns import counts, measured_columns
from crbench.leaderboard.marks import meanings
from crbench.leaderboard.other_columns import pair_columns, published_columns
from crbench.leaderboard.published import differences, published_scores, remarks
from crbench.published import SOURCES, Published
from crbench.results import Result
from crbench.results.labels import clean, component_label, dataset_label, failure_reason


@attrs.frozen
class Table:
    """A table ready to be set: columns, rows of cells, and what stands above and below it.

    `facts` are short phrases (data set first), `rules` is the protocol's readable line or empty, `notes` and `warnings`
    are lines. `lines` are the measured methods behind `rows`.
    """

    facts: tuple[str, ...]
    rules: str
    columns: tuple[Column[Any], ...]
    rows: tuple[tuple[Cell, ...], ...]
    baselines: tuple[bool, ...]
    warnings: tuple[str, ...] = ()
    lines: tuple[Row, ...] = ()
    notes: tuple[str, ...] = ()


def block_table(board: Board, block: Block, view: View) -> Table:
    """The table of one block of a board; an unranked one has no places and no gains."""
    scores = [score for score in board.scores_shown(view) if any(score.key in row.scores for row in block.rows)]
    known = measured_columns(scores, block.speeds(), board.machines, view=view, rows=block.rows)
    columns = [column for column in chosen_columns(known, view) if not (block.unranked and column.ranked)]
    rows = chosen_rows(block.rows, known, view)
    return Table(
        facts=_facts(block, len(rows)),
        rules=clean(block.rules),
        columns=tuple(columns),
        rows=tuple(tuple(column.cell(row, row.marks.get(column.key, "")) for column in columns) for row in rows),
        baselines=tuple(row.baseline and not block.unranked for row in rows),
        warnings=tuple(_warnings(rows)),
        lines=tuple(rows),
        notes=tuple(_comparison(block)),
    )


def _comparison(block: Block) -> Iterator[str]:
    """What the comparison of the rows of a block says beside their places."""
    if block.resolution is not None:
        yield (
            f"These queries of {block.people:,} persons resolve differences of {100 * block.resolution:.1f} points "
            "of R1: the paired test finds so large a one with a probability of 80 % (p <= 0.05; median pair of rows)."
        )
    yield from block.notes


def pair_table(block: Block) -> Table:
    """The differences of all pairs of rows of a block."""
    columns = pair_columns()
    return Table(
        facts=(clean(block.title), f"protocol {clean(block.protocol)}", "differences of pairs of rows in R1"),
        rules="",
        columns=tuple(columns),
        rows=tuple(tuple(column.cell(pair) for column in columns) for pair in block.pairs),
        baselines=(False,) * len(block.pairs),
    )


def _warnings(rows: Sequence[Row]) -> Iterator[str]:
    """Each warning of the results of `rows` once, with the rows that have it where not all do."""
    texts = dict.fromkeys(warning for row in rows for warning in row.warnings)
    for text in texts:
        named = [f"{row.backbone} + {row.aligner}" for row in rows if text in row.warnings]
        yield clean(f"warning: {text}" if len(named) == len(rows) else f"warning, {'; '.join(named)}: {text}")


def published_tables(board: Board, rows: Sequence[Published]) -> list[Table]:
    """Published numbers, a table for each data set, and below it how far those that were measured here differ."""
    measured = (*board.blocks, *board.partial)
    return [
        _published_table(
            dataset,
            [row for row in rows if row.dataset == dataset],
            [block for block in measured if block.dataset == dataset],
        )
        for dataset in dict.fromkeys(row.dataset for row in rows)
    ]


def _published_table(dataset: str, rows: Sequence[Published], measured: Sequence[Block]) -> Table:
    others = "; ".join(dict.fromkeys(text for block in measured for text in block.deviations))
    measured_on = (f"measured here on other data: {others}",) if others else ()
    columns = [column for column in published_columns(published_scores(rows)) if column.title]
    return Table(
        facts=tuple(map(clean, (dataset, "published numbers, not measured here, not ranked", *measured_on))),
        rules="",
        columns=tuple(columns),
        rows=tuple(tuple(column.cell(row) for column in columns) for row in rows),
        baselines=(False,) * len(rows),
        warnings=(*remarks(rows), *differences(rows, measured)),
    )


def tables(board: Board, view: View) -> list[Table]:
    """All tables of a board: ranked blocks, parts of protocols, published numbers."""
    measured = [
        table
        for block in (*board.blocks, *board.partial)
        for table in (block_table(board, block, view), *([pair_table(block)] if view.pairwise and block.pairs else []))
    ]
    return measured + published_tables(board, view.published)


def footnote(tables: Iterable[Table]) -> str:
    """What the columns of `tables` mean, each footnote once; empty where no column needs one."""
    return " ".join(dict.fromkeys(text for table in tables for column in table.columns for text in column.footnotes))


def notes(board: Board, view: View) -> list[str]:
    """What stands below the tables: machines, failed cells, what was left out, sources of the published numbers."""
    blocks = (*board.blocks, *board.partial)
    machines = enumerate(board.machines, start=1)
    lines = [*meanings(blocks), *_split_blocks(blocks)]
    lines += [f"[M{place}] median throughput by `crbench bench` on: {name}" for place, name in machines]
    lines += [f"failed: {failure(result)}" for result in board.failed]
    lines += board.unused
    lines += board.apart
    if board.repeated:
        lines.append(f"left out, results that repeat trials of others, with the same scores: {board.repeated}")
    sources = (source for row in view.published for source in (row.source, *filter(None, row.also.split("; "))))
    keys = sorted({source.partition(",")[0] for source in sources})
    return lines + [f"† {key}: {SOURCES[key]}" for key in keys]


def _split_blocks(blocks: Iterable[Block]) -> Iterator[str]:
    """A line for each fingerprint that several tables have."""
    for fingerprint, number in Counter(block.fingerprint for block in blocks).items():
        if number > 1:
            yield clean(
                f"{number} tables have the fingerprint {fingerprint}: same rules, but other trials or other data, so "
                f"rows of different tables are not ranked together."
            )


def below(tables: Iterable[Table], board: Board, view: View) -> list[str]:
    """The lines below `tables`: what their columns mean, then the notes."""
    return [*filter(None, [footnote(tables)]), *notes(board, view)]


def failure(result: Result) -> str:
    """One line on a failed cell: which, and the last line of its traceback."""
    backbone, aligner = component_label(result.method.backbone), component_label(result.method.aligner)
    return clean(
        f"{dataset_label(result)}, protocol {result.protocol.name}, {backbone}, {aligner}: {failure_reason(result)}"
    )


def _facts(block: Block, shown: int) -> tuple[str, ...]:
    facts = (
        block.title,
        block.unranked,
        *block.chosen,
        f"{shown} of {len(block.rows)} rows" if shown < len(block.rows) else "",
        f"protocol {block.protocol}",
        _rates(block),
        f"trial{'' if len(block.trials) == 1 else 's'} {trial_list(block.trials)}",
        *_sizes(block),
        *_deviations(block.deviations),
        f"fingerprint {block.fingerprint}",
        f"data {block.data}",
        f"crbench {'/'.join(block.versions)}",
        block.date,
    )
    return tuple(clean(fact) for fact in facts if fact)


def _rates(block: Block) -> str:
    """How methods know rates; nothing of given features, to which nothing was done."""
    if block.rows[0].result.given:
        return ""
    return "queries unshrunk: the bound of another table" if block.bound else f"{block.rate_source} rates"


def _sizes(block: Block) -> Iterator[str]:
    """How much was searched for and in, of each trial."""
    for numbers, one, many in (
        (block.queries, "query", "queries"),
        (block.persons, "person", "persons"),
        (block.gallery, "gallery image", "gallery images"),
    ):
        if numbers:
            yield f"{counts(numbers)} {one if numbers == (1,) else many}"


def _deviations(texts: Sequence[str]) -> tuple[str, ...]:
    return (f"other than the published data: {', '.join(texts)}",) if texts else ()
