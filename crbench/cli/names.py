"""Parameter types whose shell completion knows the installed plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from crbench.registry.discovery import PluginRecord


class PluginName(click.types.StringParamType):
    """The name of a plugin of one kind, with optional preset and argument; it is looked up later, by the library."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Names, ``name/preset`` where there are presets, and a colon where an argument follows."""
        from crbench.registry.load import list_plugins

        records = [record for record in list_plugins() if record.kind == self._kind]
        names = [
            "/".join(part for part in (_asked(record), preset) if part) + (":" if record.argument else "")
            for record in records
            for preset in ("", *record.presets)
        ]
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _asked(record: PluginRecord) -> str:
    return f"{record.distribution}::{record.name}" if record.status == "clash" else record.name
