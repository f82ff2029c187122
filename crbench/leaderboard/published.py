"""Numbers that papers print, beside ours: never ranked with what was measured here, only subtracted from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from crbench.leaderboard.board import Block, Row, trial_list
from crbench.leaderboard.formats import signed
from crbench.leaderboard.scores import Score, in_order
from crbench.published import Published
from crbench.results import Component
from crbench.results.labels import clean


def published_scores(rows: Iterable[Published]) -> tuple[Score, ...]:
    """The scores that any of `rows` has, in order."""
    return in_order(Score(name) for row in rows for name in row.scores)


def remarks(rows: Iterable[Published]) -> Iterator[str]:
    """What is doubtful about printed numbers, a line for each method, values on which the sources differ first."""
    texts: dict[str, dict[str, None]] = {}
    for row in rows:
        said = texts.setdefault(f"{row.method} ({row.backbone})" if row.backbone else row.method, {})
        said.update(dict.fromkeys(filter(None, (row.remark, row.note))))
    yield from (f"remark, {method}: {'; '.join(said)}" for method, said in texts.items() if said)


def differences(rows: Sequence[Published], blocks: Iterable[Block]) -> Iterator[str]:
    """Measured minus printed, a line for each measured method that a paper prints, and why the two may differ."""
    for block in blocks:
        for row in block.rows:
            for printed in rows:
                if (printed.dataset, printed.protocol) == (block.dataset, block.protocol) and _is(printed, row):
                    yield clean(_difference(printed, row, block))


def _is(printed: Published, row: Row) -> bool:
    """Whether a row is the method of printed numbers, with whatever preset where these name none of its own."""
    method = row.result.method
    if not printed.measured_as or method.aligner.fitted_on is not None:
        return False
    names = printed.measured_as.split("+")
    return all(_fits(name, part) for name, part in zip(names, (method.backbone, method.aligner), strict=True))


def _fits(name: str, part: Component) -> bool:
    """A variant of a paper is a preset of a backbone; of an aligner another preset is a reason to differ."""
    name, _, preset = name.partition("/")
    return part.name == name and (not preset or part.preset == preset or preset == "paper")


def _difference(printed: Published, row: Row, block: Block) -> str:
    shared = [score for score in published_scores([printed]) if score.key in row.scores]
    values = [f"{one.title} {signed(row.scores[one.key].mean - printed.scores[one.name])}" for one in shared]
    reasons = "; ".join(_reasons(printed, row, block))
    return (
        f"measured here minus printed, {row.backbone} + {row.aligner} minus {printed.method} ({printed.source}): "
        f"{', '.join(values)} points; they may differ by: {reasons}"
    )


def _reasons(printed: Published, row: Row, block: Block) -> Iterator[str]:
    """Why a measured number need not be the printed one."""
    paper = printed.source.partition(",")[0]
    yield f"rules that {paper} leaves open (here {block.rate_source} rates, {block.fingerprint})"
    if block.deviations:
        yield f"another copy of the data ({', '.join(block.deviations)})"
    if block.limit is not None:
        yield f"a part of the data (limit {block.limit})"
    if len(block.trials) < row.result.protocol.rules.get("trials", 0):
        yield f"trials {trial_list(block.trials)} only"
    names = printed.measured_as.split("+")
    for name, part in zip(names, (row.result.method.backbone, row.result.method.aligner), strict=True):
        asked = name.partition("/")[2]
        if asked and part.preset != asked:
            yield f"preset {part.preset} of {part.name} in place of {asked}"
        if part.changed:
            yield f"changed parameters of {part.name}: {', '.join(part.changed)}"
    yield from _weights(row)


def _weights(row: Row) -> Iterator[str]:
    weights = [one for one in row.weights if one.origin != "fitted"]
    if any(one.origin == "trained" for one in weights):
        yield "weights of the backbone, trained here"
    if any(one.origin == "file" for one in weights):
        unknown = any(not one.known for one in weights)
        yield f"weights of the backbone, given as a file{', of unknown training' if unknown else ''}"
