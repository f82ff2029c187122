"""``crbench plugins``: what is installed, and what is broken and why."""

from __future__ import annotations

import json

import click

_SHOWN_PRESETS = 6


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--strict-plugins", is_flag=True, help="Stop with exit code 4 at the first plugin that fails or clashes.")
def plugins(as_json: bool, strict_plugins: bool) -> None:
    """List backbones, aligners, data sets, distances and metrics, and plugins that are broken."""
    import attrs
    from tabulate import tabulate

    from crbench.registry.discovery import discover, installed
    from crbench.registry.load import list_plugins

    if strict_plugins:
        discover(strict=True)
    records = list_plugins()
    if as_json:
        click.echo(json.dumps([attrs.asdict(record) for record in records], indent=2))
        return
    rows = [
        (
            record.kind,
            record.asked,
            _few(record.presets),
            f"{record.distribution} {record.version}",
            record.status,
            record.error or record.summary,
        )
        for record in records
    ]
    click.echo(tabulate(rows, headers=("kind", "name", "presets", "distribution", "status", "")))
    for line in installed().slow:
        click.echo(f"crbench: {line}", err=True)
    unusable = sum(record.status in ("broken", "incompatible") for record in records)
    if unusable:
        click.echo(f"crbench: {unusable} of {len(records)} cannot be used; the others work", err=True)


def _few(presets: tuple[str, ...]) -> str:
    """The first presets; a table of all would be too wide to read."""
    more = f", and {len(presets) - _SHOWN_PRESETS} more" if len(presets) > _SHOWN_PRESETS else ""
    return ", ".join(presets[:_SHOWN_PRESETS]) + more
