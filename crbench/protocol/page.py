"""The page of all protocol fields, made from the record itself: ``docs/protocol.md``."""

from __future__ import annotations

from typing import Any

import attrs

from crbench.protocol.declare import GROUPS
from crbench.protocol.rules import EvalProtocol

_INTRODUCTION = """# Rules of a protocol

Each of these fields changes a number, so each is part of a protocol's fingerprint. `--set protocol.NAME=VALUE` changes
one; `short` names it in the line that describes a protocol (`crbench data info NAME`). Made by `crbench data rules`.
"""

_TITLES = {
    "split": "Split: which images, at which rates",
    "images": "Images: what they and their features look like",
    "scoring": "Scoring: from features to scores (also for `crbench evaluate`)",
}


def protocol_page(record: type[EvalProtocol] = EvalProtocol) -> str:
    """All rules of a protocol record as a Markdown page, group by group."""
    sections = [_INTRODUCTION]
    for group in GROUPS:
        lines = [f"## {_TITLES[group]}", "", "| NAME | short | values | default | meaning |", "|---|---|---|---|---|"]
        lines += [_row(field) for field in attrs.fields(record) if field.metadata.get("group") == group]
        sections.append("\n".join(lines) + "\n")
    return "\n".join(sections)


def _row(field: attrs.Attribute[Any]) -> str:
    about = field.metadata
    cells = (f"`{field.name}`", about["short"], about["values"], f"`{_as_set(field.default)}`", about["doc"])
    return f"| {' | '.join(cells)} |"


def _as_set(value: Any) -> str:
    """A value as ``--set`` takes it."""
    if isinstance(value, tuple):
        return f"[{', '.join(f'{item:g}' for item in value)}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
