"""Parameter types whose shell completion knows the installed plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from crbench.registry.discovery import PluginRecord


class PluginName(click.types.StringParamType):
    """The name of a plugin, with optional preset and argument; it is looked up later, by the library.

    Args:
        kind: of the plugin; None = what ``--kind`` says, else any.
        also: further names that are completed: of what is built in, and no plugin.
    """

    def __init__(self, kind: str | None, also: tuple[str, ...] = ()) -> None:
        self._kind = kind
        self._also = also

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Names, ``name/preset`` where there are presets, and a colon where an argument follows."""
        from crbench.registry.load import list_plugins

        kind = self._kind or ctx.params.get("kind")
        records = [
            record for record in list_plugins() if record.kind == kind or (not kind and record.status != "broken")
        ]
        names = [
            "/".join(part for part in (_asked(record), preset) if part) + (":" if record.argument else "")
            for record in records
            for preset in ("", *record.presets)
        ]
        known = dict.fromkeys((*self._also, *names))
        return [CompletionItem(name) for name in known if name.startswith(incomplete)]


def _asked(record: PluginRecord) -> str:
    return f"{record.distribution}::{record.name}" if record.status == "clash" else record.name
