"""The columns of a leaderboard table as people read them; every format for readers prints these cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import attrs

from crbench.leaderboard.published import SOURCES, Published
from crbench.leaderboard.rows import Block, Board, Row, printed
from crbench.leaderboard.speeds import Speed
from crbench.results import MetricFacts, Result, Summary
from crbench.results.labels import clean, component_label

MISSING = "-"
FOOTNOTE = (
    "Scores in per cent, mean ± standard deviation over trials; ranked by R-1, then mAP, as printed, and only within "
    "one table. gain: R-1 points over the aligner 'none' with the same backbone and weights, trial by trial. params: "
    "learned parameters of the aligner. fit s: seconds of one fit. samples/s: features aligned per second."
)
"""What the columns mean."""


@attrs.frozen
class Cell:
    """One cell: its text, the number behind it (for sorting) and ``best``, ``second`` or nothing."""

    text: str
    value: float | None = None
    mark: str = ""


@attrs.frozen
class Column:
    """Heading of a column; `numeric` ones are set flush right."""

    title: str
    numeric: bool = True


@attrs.frozen
class Table:
    """A table ready to be set: headings, rows of cells, and what stands above it.

    `facts` are short phrases (data set first), `rules` is the protocol's readable line or empty.
    """

    facts: tuple[str, ...]
    rules: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    baselines: tuple[bool, ...]


def block_table(block: Block, machines: Sequence[str], *, per_rate: bool) -> Table:
    """The table of a block; an unranked one has no places and no gains. `machines` are those of the board."""
    scores, speeds = block.scores(per_rate), block.speeds()
    placed = block.ranked
    facts = {name: block.facts(name) for name in scores}
    titles = [_score_title(name, facts[name]) for name in scores]
    costs = [Column("params"), Column("fit s ↓"), Column("samples/s ↑")]
    costs += [_speed_title(speed, machines) for speed in speeds]
    names = _words("backbone", "aligner")
    columns = [*([Column("rank")] if placed else []), *names, *titles, *([Column("gain ↑")] if placed else []), *costs]
    return Table(
        facts=_facts(block),
        rules=clean(block.rules),
        columns=tuple(columns),
        rows=tuple(tuple(_cells(row, facts, speeds, placed)) for row in block.rows),
        baselines=tuple(row.baseline and placed for row in block.rows),
    )


def published_table(dataset: str, rows: Sequence[Published]) -> Table:
    """Published numbers of one data set, each method with a dagger."""
    names = [name for name in ("R1", "R5", "R10", "R20", "mAP") if any(name in row.scores for row in rows)]
    columns = [*_words("method", "backbone"), Column("year"), *map(_score_title, names), *_words("protocol", "source")]
    return Table(
        facts=(clean(dataset), "published numbers, not measured here, not ranked"),
        rules="",
        columns=tuple(columns),
        rows=tuple(tuple(_published_cells(row, names)) for row in rows),
        baselines=(False,) * len(rows),
    )


def tables(board: Board, rows: Sequence[Published], *, per_rate: bool) -> list[Table]:
    """Everything that a board shows as tables: ranked blocks, parts of protocols, published numbers."""
    measured = [block_table(block, board.machines, per_rate=per_rate) for block in (*board.blocks, *board.partial)]
    datasets = dict.fromkeys(row.dataset for row in rows)
    return measured + [published_table(name, [row for row in rows if row.dataset == name]) for name in datasets]


def notes(board: Board, rows: Sequence[Published]) -> list[str]:
    """What stands below the tables: machines, failed cells, what was left out, sources of the published numbers."""
    machines = enumerate(board.machines, start=1)
    lines = [f"[M{place}] median throughput by `crbench bench` on: {name}" for place, name in machines]
    lines += [f"failed: {failure(result)}" for result in board.failed]
    lines += board.unused
    if board.superseded:
        lines.append(f"left out, older results of cells that were run again: {board.superseded}")
    keys = sorted({source.split(",")[0].split(" ")[0] for row in rows for source in (row.source, row.also) if source})
    return lines + [f"† {key}: {SOURCES[key]}" for key in keys]


def failure(result: Result) -> str:
    """One line on a failed cell: which, and the last line of its traceback."""
    last = (result.error or "").strip().rpartition("\n")[2]
    backbone, aligner = component_label(result.method.backbone), component_label(result.method.aligner)
    return clean(f"{result.dataset}, protocol {result.protocol.name}, {backbone}, {aligner}: {last}")


def _words(*titles: str) -> list[Column]:
    return [Column(title, numeric=False) for title in titles]


def _score_title(name: str, facts: MetricFacts | None = None) -> Column:
    metric, _, rate = name.partition("@")
    text = metric.replace("R", "R-") if metric[1:].isdigit() else metric
    arrow = "↑" if facts is None or facts.higher_is_better else "↓"
    return Column(f"{text} x{rate} ↑" if rate else f"{text} {arrow}")


def _speed_title(speed: Speed, machines: Sequence[str]) -> Column:
    return Column(f"{speed.title} [M{machines.index(speed.machine) + 1}] ↑")


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


def _cells(row: Row, scores: Mapping[str, MetricFacts | None], speeds: Iterable[Speed], placed: bool) -> Iterable[Cell]:
    if placed:
        yield Cell(str(row.rank), row.rank)
    yield Cell(row.backbone)
    yield Cell(row.aligner + (" (baseline)" if row.baseline and placed else ""))
    own = row.scores()
    for name, facts in scores.items():
        text = _percent if facts is None or facts.unit == "fraction" else _number
        yield Cell(text(own[name]), own[name].mean, row.marks.get(name, "")) if name in own else Cell(MISSING)
    if placed:
        yield _gain(row.gain)
    parameters = row.result.method.aligner.parameter_count
    yield Cell(_short(parameters), parameters)
    yield Cell(_seconds(row.fit_s), row.fit_s)
    yield Cell(_short(row.samples_per_s), row.samples_per_s)
    measured = {speed.key: speed.per_second for speed in row.speeds}
    yield from (Cell(_rate(value), value) for value in (measured.get(speed.key) for speed in speeds))


def _published_cells(row: Published, names: Iterable[str]) -> Iterable[Cell]:
    yield Cell(f"{row.method}†")
    yield Cell(row.backbone or MISSING)
    yield Cell(str(row.year), row.year)
    for name in names:
        score = row.scores.get(name)
        yield Cell(MISSING if score is None else f"{printed(score):.1f}", score)
    yield Cell(f"{row.protocol}, {row.rates}")
    yield Cell("; ".join(filter(None, (row.source, row.also))))


def _percent(summary: Summary) -> str:
    mean = f"{printed(summary.mean):.1f}"
    return mean if summary.std is None else f"{mean} ± {printed(summary.std):.1f}"


def _number(summary: Summary) -> str:
    return f"{summary.mean:.4g}" if summary.std is None else f"{summary.mean:.4g} ± {summary.std:.2g}"


def _gain(gain: tuple[float, float | None] | None) -> Cell:
    if gain is None:
        return Cell(MISSING)
    mean, std = gain
    text = f"{printed(mean) + 0.0:+.1f}"
    return Cell(text if std is None else f"{text} ± {printed(std):.1f}", mean)


def _short(number: float | None) -> str:
    """A count in three digits or so: 24139520 is ``24.1M``."""
    if number is None:
        return MISSING
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.1f}{suffix}"
    return f"{number:.0f}"


def _rate(number: float | None) -> str:
    """Three digits or so, of small numbers too."""
    return _short(number) if number is None or number >= 100 else f"{number:.3g}"


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return MISSING
    return f"{seconds:.0f}" if seconds >= 100 else f"{seconds:.3g}"
