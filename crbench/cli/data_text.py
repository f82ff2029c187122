"""What ``crbench data info`` and ``crbench data verify`` print."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crbench.data.info import DatasetInfo, Verification
    from crbench.protocol import EvalProtocol

_SHOWN = 20
"""Files of each kind that a table lists."""

_LISTED = {
    "missing": "missing",
    "unreadable": "unreadable",
    "extra": "extra files, which are not read",
    "duplicate": "duplicates, with the bytes of another image",
    "near": "near copies, said to show two persons",
}
"""Kinds of files in a `Verification`, and what a table calls them."""


def description(name: str, info: DatasetInfo, protocols: Mapping[str, EvalProtocol]) -> str:
    """What is known of a data set: source, terms, counts, layouts and protocols."""
    facts = {
        "source": info.title,
        "paper": info.reference,
        "get it": info.url,
        "licence": info.licence,
        "privacy": info.privacy,
        "opt-in": f"set {info.opt_in}=1" if info.opt_in else "",
        "counts": ", ".join(f"{count:,} {label}" for label, count in info.counts.items()),
    }
    lines = [name, *(f"  {label + ':':<9}{fact}" for label, fact in facts.items() if fact)]
    if info.layouts:
        lines.append("  layout below the data root, one of:")
        lines += ["    " + line for layout in info.layouts for line in layout.splitlines()]
    lines.append("  protocols, the default first:")
    lines += [f"    {key:<14} {rules.fingerprint()}  {rules.describe()}" for key, rules in protocols.items()]
    return "\n".join(lines)


def verification_text(name: str, found: Verification) -> str:
    """What was found of a copy, beside what should be there, and the files that are not as they should be."""
    from tabulate import tabulate

    labels = dict.fromkeys([*found.expected, *found.found])
    rows = [(label, found.found.get(label, 0), found.expected.get(label, ""), _judge(found, label)) for label in labels]
    published = ("official", "") if found.expected else ()
    lines = [
        f"{name} in {found.root}",
        tabulate([row[: 2 + len(published)] for row in rows], ("", "found", *published)),
    ]
    if found.card:
        lines.append(tabulate(found.card.items(), tablefmt="plain"))
    for kind, words in _LISTED.items():
        entries = getattr(found, kind)
        if entries:
            lines += [f"{words}: {len(entries)}", *(f"  {entry}" for entry in entries[:_SHOWN])]
        if len(entries) > _SHOWN:
            lines.append(f"  and {len(entries) - _SHOWN} more, which --format json lists")
    if found.expected:
        lines.append("complete" if found.ok else "not as published")
    else:
        lines.append("sound" if found.ok else "images are missing or unreadable")
    return "\n".join(lines)


def _judge(found: Verification, label: str) -> str:
    if label not in found.expected:
        return ""
    return "ok" if found.found.get(label) == found.expected[label] else "differs"
