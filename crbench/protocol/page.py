"""The page of all rules, made from the records themselves: ``docs/protocol.md``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from crbench.protocol.rules import EvalProtocol

_INTRODUCTION = """# Rules of a protocol

Each of these rules changes a number, so each is part of a protocol's fingerprint. `--set protocol.NAME=VALUE` changes
one; `short` names it in the line that describes a protocol (`crbench data info NAME`). Made by `crbench data rules`.
"""


def protocol_page(protocol: EvalProtocol | None = None) -> str:
    """All rules as a Markdown page, group by group.

    Args:
        protocol: its groups are shown, at their defaults; None = the groups of every protocol.
    """
    sections = [_INTRODUCTION]
    for group in (protocol or EvalProtocol()).groups.values():
        lines = [f"## {group.title}", "", "| NAME | short | values | default | meaning |", "|---|---|---|---|---|"]
        lines += [_row(field) for field in attrs.fields(type(group))]
        sections.append("\n".join(lines) + "\n")
    return "\n".join(sections)


@attrs.frozen
class RuleInWords:
    """A rule of a protocol: its name, its value as ``--set`` takes it, and what it decides, in Markdown."""

    name: str
    value: str
    meaning: str


def in_words(rules: Mapping[str, Any]) -> dict[str, list[RuleInWords]]:
    """The rules of a protocol with what they mean, by the title of their group; options only where they are asked for.

    Args:
        rules: as `EvalProtocol.flat` gives them, or as a result file has them: a missing one has its default.

    Example:
        >>> [rule.name for rule in in_words({"flip": True})["Images: what they and their features look like"]][-1]
        'flip'
    """
    return {
        group.title: [
            RuleInWords(field.name, _as_set(value), field.metadata["doc"])
            for field in attrs.fields(type(group))
            if (value := rules.get(field.name, field.default)) != field.default or not field.metadata["option"]
        ]
        for group in EvalProtocol().groups.values()
    }


def _row(field: attrs.Attribute[Any]) -> str:
    about = field.metadata
    cells = (f"`{field.name}`", about["short"], about["values"], f"`{_as_set(field.default)}`", about["doc"])
    return f"| {' | '.join(cells)} |"


def _as_set(value: Any) -> str:
    """A value as ``--set`` takes it."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(f'{item:g}' for item in value)}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
