"""``crbench report``: result files to one page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from crbench.cli.board import board_options, read_board
from crbench.report import render


@click.command()
@board_options
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    help="Where to write the page.",
)
def report(results: tuple[Path, ...], benches: tuple[Path, ...], strict: bool, output: Path, **view: Any) -> None:
    """Write one HTML page on results: the leaderboard, figures, and all that stands behind each row.

    RESULTS are result files or folders of them; by default the folder "results". The page is one file that asks for
    nothing from a network. The same rules as for crbench leaderboard decide what is ranked together. Figures need
    matplotlib: pip install 'crbench[plot]'.

    \b
    crbench report results -o report.html
    crbench report results --dataset mlr-synthetic --bench bench --published
    """
    from crbench.cli.progress import configure_logging
    from crbench.store.files import write_text

    configure_logging(-1)
    found, measured = read_board(results, benches, strict=strict)
    write_text(output, render(found, format="html", details=True, benches=measured, **view))
    click.echo(f"crbench: wrote {output}", err=True)
