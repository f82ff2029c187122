"""``crbench doctor``: what of machine and installation works, and what to do where it does not."""

from __future__ import annotations

import json
from pathlib import Path

import click

from crbench.cli.options import FOLDER, format_option

_WIDTHS = [None, None, 64, 56]


@click.command()
@click.option(
    "--data-root",
    type=FOLDER,
    help="Folder of your data sets; else CRBENCH_DATA, config, platform.",
)
@format_option()
def doctor(data_root: Path | None, form: str) -> int:
    """Look at Python, torch, CUDA, CuPy, GPUs, processor, disk, data sets, weights and plugins; say what to do.

    A note is something that works and could be better, a fault something that will fail or give wrong numbers. Exit
    code 1 if there is a fault, else 0. Nothing is changed.

    \b
    crbench doctor
    crbench doctor --data-root ~/reid-data --format json
    """
    import attrs
    from tabulate import tabulate

    from crbench.doctor import examine

    findings = examine(data_root)
    faults = sum(finding.state == "fault" for finding in findings)
    if form == "json":
        click.echo(json.dumps([attrs.asdict(finding) for finding in findings], indent=2))
    else:
        rows = [(one.subject, one.state, one.found, one.advice) for one in findings]
        click.echo(tabulate(rows, ("", "state", "found", "what to do"), maxcolwidths=_WIDTHS))
    notes = sum(finding.state == "note" for finding in findings)
    counts = (f"{count} {what}{'' if count == 1 else 's'}" for count, what in ((faults, "fault"), (notes, "note")))
    click.echo(f"crbench: {', '.join(counts)}", err=True)
    return 1 if faults else 0
