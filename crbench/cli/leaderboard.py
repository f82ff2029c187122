"""``crbench leaderboard``: result files to a table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crbench.cli.numbers import IntegerRange
from crbench.cli.scores import ranks_option
from crbench.cli.strict import strict_option
from crbench.cli.terminal import wants_colour
from crbench.leaderboard import RANKS
from crbench.report import FORMATS, render

if TYPE_CHECKING:
    from crbench.bench import Bench


def _names(_: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


@click.command()
@click.argument("results", nargs=-1, type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True, help="What to print.")
@ranks_option(RANKS, "tables show; CSV and JSON have R1, R5, R10 and R20 too.")
@click.option("--per-rate", is_flag=True, help="Add Rank-1 of the queries of each down-sampling rate.")
@click.option(
    "--columns",
    metavar="LIST",
    callback=_names,
    help="Columns to show, in this order, by their names in CSV, e.g. rank,aligner,R1,mAP,R1@4,gain.",
)
@click.option("--sort", metavar="COLUMN", default="", help="Order the rows by a column, best first; default: places.")
@click.option("--top", type=IntegerRange(min=1), help="Only the first rows of each table.")
@click.option(
    "--spread",
    type=click.Choice(["auto", "interval", "std", "none"]),
    default="auto",
    help="Beside each score: its 95 % interval over people, the standard deviation over trials, or nothing; by default "
    "the interval of R1 and gain.",
)
@click.option("--dataset", "datasets", multiple=True, help="Only this data set; may be given several times.")
@click.option("--backbone", "backbones", multiple=True, help="Only this backbone, NAME[/PRESET]; so for several.")
@click.option("--aligner", "aligners", multiple=True, help="Only this aligner, NAME[/PRESET]; so for several.")
@click.option("--expand", is_flag=True, help="Show each training in a row; default: those of a method are one row.")
@click.option("--published", is_flag=True, help="Add published numbers for the same data sets, apart and unranked.")
@click.option(
    "--bench",
    "benches",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Add speeds that `crbench bench -o` measured: a file, or a folder of them; may be given several times.",
)
@click.option("--timings", is_flag=True, help="Add what the runs took, marked as unchecked.")
@strict_option
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Write to a file instead of the standard output.")
def leaderboard(
    results: tuple[Path, ...],
    form: str,
    benches: tuple[Path, ...],
    strict: bool,
    output: Path | None,
    **view: Any,
) -> None:
    """Rank results that are comparable, in one table per protocol.

    RESULTS are result files or folders of them; by default the folder "results". Other files in a folder are left
    out, and listed. Trials of one method that were run apart, on any machines, are one row where all that decides a
    number agrees. A benchmark adds columns of speeds to the rows of its method (same backbone, aligner, presets,
    parameters and code), apart for each machine.

    Rows have their places among the methods that --backbone and --aligner choose.

    \b
    crbench leaderboard results --dataset mlr-synthetic --columns rank,aligner,R1,R20,gain --format latex
    crbench bench --backbone resnet-tiny --aligner vpfa --dataset mlr-synthetic -o bench/here.json
    crbench leaderboard results --bench bench
    """
    from crbench.cli.progress import configure_logging
    from crbench.results import load_results
    from crbench.results.search import no_results
    from crbench.store.files import write_text

    configure_logging(-1)
    paths = results or (Path("results"),)
    found = load_results(paths, strict=strict)
    if not found:
        raise no_results(paths)
    colour = output is None and wants_colour()
    text = render(
        found,
        format=form,
        colour=colour,
        benches=_measured(benches, strict),
        **view,
    )
    if output is None:
        encoding = sys.stdout.encoding or "utf-8"
        click.echo(text.encode(encoding, "replace").decode(encoding), nl=False, color=colour)
        return
    write_text(output, text)


def _measured(paths: tuple[Path, ...], strict: bool) -> list[Bench]:
    if not paths:
        return []  # reading benchmarks imports torch
    from crbench.bench import load_benches

    return load_benches(paths, strict=strict)
