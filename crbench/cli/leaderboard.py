"""``crbench leaderboard``: result files to a table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from crbench.cli.board import board_options, read_board
from crbench.cli.options import OUTPUT
from crbench.cli.replaced import check_inputs_kept
from crbench.cli.terminal import table_width, wants_colour, wide_option
from crbench.report import FORMATS, render

_ENDINGS = {".html": "html", ".csv": "csv", ".json": "json", ".tex": "latex", ".md": "github"}


@click.command()
@board_options
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="table",
    help=f"What to print. Default: by the ending of --output ({' '.join(_ENDINGS)}), else table.",
)
@click.option(
    "--output",
    "-o",
    type=OUTPUT,
    help="Write to a file instead of the standard output.",
)
@wide_option
def leaderboard(
    results: tuple[Path, ...],
    form: str,
    wide: bool,
    benches: tuple[Path, ...],
    strict: bool,
    output: Path | None,
    **view: Any,
) -> None:
    """Rank results that are comparable, in one table per protocol.

    RESULTS are result files or folders of them; by default the folder "results". Other files in a folder are left
    out, and listed. Trials of one method that were run apart, on any machines, are one row where all that decides a
    number agrees, and so are its trainings with other seeds. A benchmark adds columns of speeds to the rows of its
    method (same backbone, aligner, presets, parameters and code), apart for each machine.

    Rows have their places among the methods that --backbone and --aligner choose. Where outcomes lie beside the
    results, a table says which places the data leave open, and which differences they resolve.

    \b
    crbench leaderboard results --dataset mlr-synthetic --columns rank,aligner,R1,R20,gain --format latex
    crbench bench --backbone resnet-tiny --aligner vpfa --dataset mlr-synthetic -o bench/here.json
    crbench leaderboard results --bench bench
    """
    from crbench.store.files import write_text

    asked = click.get_current_context().get_parameter_source("form") is not ParameterSource.DEFAULT
    if output is not None and not asked:
        form = _ENDINGS.get(output.suffix.lower(), form)
    check_inputs_kept([output], benches)
    found, measured = read_board(results, benches, strict=strict)
    colour = output is None and wants_colour()
    width = table_width(wide or output is not None)
    text = render(found, format=form, colour=colour, benches=measured, width=width, **view)
    if output is None:
        encoding = sys.stdout.encoding or "utf-8"
        click.echo(text.encode(encoding, "replace").decode(encoding), nl=False, color=colour)
        return
    write_text(output, text)
