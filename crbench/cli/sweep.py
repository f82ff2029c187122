"""``crbench sweep``: Rank-1 by the rate of the queries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from crbench.cli.cell import cell_options, context, trial_spec
from crbench.cli.lasting import lasting
from crbench.cli.numbers import rates
from crbench.cli.options import FILE, FOLDER, format_option
from crbench.cli.terminal import table_width

_DRAWN = (".png", ".svg")
_NOT_DRAWN = (".jpg", ".jpeg", ".pdf", ".eps", ".ps", ".tif", ".tiff", ".gif", ".webp")


def _figure(_: click.Context, _parameter: click.Parameter, path: Path | None) -> Path | None:
    """The NAME of NAME.png or NAME.svg, in its folder; a dot in a name is no ending."""
    if path is None:
        return None
    if not path.name or path.name.lower() in _DRAWN or path.suffix.lower() in _NOT_DRAWN:
        raise click.BadParameter(f"{str(path)!r}: expected NAME.png, beside which NAME.svg is written")
    return path.with_suffix("") if path.suffix.lower() in _DRAWN else path


@click.command()
@cell_options
@click.option(
    "--rates",
    "tested",
    default="1-8",
    show_default=True,
    callback=rates,
    metavar="LIST",
    help="Rates of the queries, e.g. 1-8 or 1,1.5,2; 1 = as they are stored.",
)
@click.option("--matrix", is_flag=True, help="Fit at each of these rates alone, too, and test at all of them.")
@click.option("-o", "--output", type=FOLDER, help="Folder for results; default: results.")
@click.option("--figure", type=FILE, callback=_figure, help="Draw it: NAME.png and NAME.svg.")
@format_option(("table", "github", "latex", "json"))
def sweep(
    tested: tuple[float, ...], matrix: bool, figure: Path | None, form: str, quiet: int, verbose: int, **options: Any
) -> int:
    """Show every query at every rate: down to which resolution is a method of use?

    Maps are fitted at the training rates of the protocol, so that other rates show how they carry over; with --matrix
    at one rate each. The baseline at rate 1 is the bound. Results stay in the output folder, and a sweep that was
    stopped goes on. The figure needs matplotlib: pip install 'crbench[plot]'.

    \b
    crbench sweep --dataset mlr-synthetic --aligner ridge --aligner vpfa --figure sweep.png
    crbench sweep --dataset mlr-synthetic --aligner ridge --rates 2-4 --matrix
    """
    from crbench.analysis.figures.style import check_drawable
    from crbench.store.files import check_writable

    with lasting():  # modules
        from crbench.analysis import sweep as swept
    spec = trial_spec("sweep", **options)
    if figure is not None:  # before the work, which may take long
        check_drawable()
        check_writable(figure.parent)
    found = swept(spec, tested, "matrix" if matrix else "rates", context=context(quiet, verbose))
    click.echo(found.render(form, table_width(wide=False)), nl=False)
    if figure is not None:
        for path in found.draw(figure.parent, figure.name):
            click.echo(path, err=True)
    return 1 if found.failures else 0
