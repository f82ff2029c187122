"""``crbench doctor``: what of machine and installation works, and what to do where it does not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crbench.cli.options import FOLDER, format_option
from crbench.cli.terminal import table_width

if TYPE_CHECKING:
    from crbench.doctor import Finding

_MOST = 120
"""Characters for what was found and what to do together, however wide the terminal is."""

_LEAST = 40
"""The same, however narrow it is."""


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

    from crbench.doctor import examine

    findings = examine(data_root)
    faults = sum(finding.state == "fault" for finding in findings)
    if form == "json":
        click.echo(json.dumps([attrs.asdict(finding) for finding in findings], indent=2))
    else:
        click.echo(_table(findings, table_width(wide=False)))
    notes = sum(finding.state == "note" for finding in findings)
    counts = (f"{count} {what}{'' if count == 1 else 's'}" for count, what in ((faults, "fault"), (notes, "note")))
    click.echo(f"crbench: {', '.join(counts)}", err=True)
    return 1 if faults else 0


def _table(findings: Sequence[Finding], width: int | None) -> str:
    """A line for each finding, broken so that it has at most `width` characters, as far as may be."""
    from tabulate import tabulate

    headers = ("", "state", "found", "what to do")
    rows = [(one.subject, one.state, one.found, one.advice) for one in findings]
    taken = sum(max(len(header) + 2, *(len(row[at]) for row in rows)) + 2 for at, header in enumerate(headers[:2]))
    both = _MOST if width is None else min(_MOST, max(_LEAST, width - taken - 2))
    found = both * 8 // 15
    return tabulate(rows, headers, maxcolwidths=[None, None, found, both - found], disable_numparse=True)
