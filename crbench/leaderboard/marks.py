"""What stands in brackets behind the name of a backbone or an aligner, for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from crbench.leaderboard.board import Block, Row

_MEANINGS = {
    "sanity": "sanity: a backbone that looks at nobody; every other row must stand above it.",
    "transductive": "transductive: its features of one image depend on the other test images that it is given with.",
    "training unknown": "training unknown: nothing tells which people these weights were trained on; those of the test "
    "may be among them.",
}


def backbone_marks(row: Row) -> Iterator[str]:
    """The marks of the backbone of a row."""
    if row.sanity:
        yield "sanity"
    if row.result.method.backbone.transductive:
        yield "transductive"
    if any(not one.known and one.origin != "fitted" for one in row.weights):
        yield "training unknown"


def aligner_marks(row: Row) -> Iterator[str]:
    """The marks of the aligner of a row."""
    if row.baseline and row.rank is not None:
        yield "baseline"
    if row.result.method.aligner.transductive:
        yield "transductive"
    if any(not one.known and one.origin == "fitted" for one in row.weights):
        yield "training unknown"
    if row.doubtful:
        yield "conflict"


def marked(label: str, marks: Iterable[str]) -> str:
    """`label` with its marks.

    Example:
        >>> marked("none", ["baseline"])
        'none (baseline)'
    """
    text = ", ".join(marks)
    return f"{label} ({text})" if text else label


def meanings(blocks: Iterable[Block]) -> list[str]:
    """One line for each mark of `blocks` that needs to be explained."""
    rows = [row for block in blocks for row in block.rows]
    held = {mark for row in rows for mark in (*backbone_marks(row), *aligner_marks(row))}
    return [text for mark, text in _MEANINGS.items() if mark in held]
