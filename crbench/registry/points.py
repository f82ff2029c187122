"""The entry points of all distributions; one whose list cannot be read hides no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points

from crbench.api.hooks import GROUP


def installed_points() -> tuple[list[EntryPoint], dict[str, Exception]]:
    """Those of the group ``crbench``; and by distribution what was wrong with a list, whatever groups it has."""
    try:
        return list(entry_points(group=GROUP)), {}
    except Exception:  # noqa: BLE001 - a file of a stranger, which every command would end at
        found: list[EntryPoint] = []
        damaged: dict[str, Exception] = {}
        for name, distribution in _first_of_each_name():
            try:
                found += distribution.entry_points.select(group=GROUP)
            except Exception as error:  # noqa: BLE001
                damaged[name] = error
        return found, damaged


def _first_of_each_name() -> Iterator[tuple[str, Distribution]]:
    """Of two distributions of one name the first on the path counts, as for `entry_points`."""
    seen: set[str] = set()
    for distribution in distributions():
        name = str(distribution.metadata["Name"] or "?")
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key not in seen:
            seen.add(key)
            yield name, distribution
