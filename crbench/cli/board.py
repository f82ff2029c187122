"""What `crbench leaderboard` and `crbench report` share: which results they read, and what of a board they show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from crbench.cli.lasting import lasting
from crbench.cli.numbers import IntegerRange
from crbench.cli.options import FILE_OR_FOLDER, option_group
from crbench.cli.scores import ranks_option
from crbench.cli.strict import strict_option
from crbench.leaderboard import RANKS

if TYPE_CHECKING:
    from crbench.bench import Bench
    from crbench.results import Result


def _names(_: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


board_options = option_group(
    click.argument("results", nargs=-1, type=FILE_OR_FOLDER),
    ranks_option(RANKS, "tables show; CSV and JSON have R1, R5, R10 and R20 too."),
    click.option("--per-rate", is_flag=True, help="Add Rank-1 of the queries of each down-sampling rate."),
    click.option(
        "--columns",
        metavar="LIST",
        callback=_names,
        help="Columns to show, in this order, by heading or name in CSV, e.g. rank,aligner,R1,R1@4,gain. "
        "R1_low, R1_std and so on name the column of R1: CSV and JSON have them all, tables as --spread says.",
    ),
    click.option(
        "--sort", metavar="COLUMN", default="", help="Order the rows by a column, best first; default: places."
    ),
    click.option("--top", type=IntegerRange(min=1), help="Only the first rows of each table."),
    click.option(
        "--spread",
        type=click.Choice(["auto", "interval", "std", "none"]),
        default="auto",
        help="Beside each score: its 95 % interval over people, the standard deviation over trials, or "
        "nothing; by default the interval of R1 and gain.",
    ),
    click.option("--dataset", "datasets", multiple=True, help="Only this data set; may be given again."),
    click.option(
        "--backbone", "backbones", multiple=True, help="Only this backbone, NAME[/PRESET]; may be given again."
    ),
    click.option("--aligner", "aligners", multiple=True, help="Only this aligner, NAME[/PRESET]; may be given again."),
    click.option(
        "--expand",
        is_flag=True,
        help="Show each training in a row; default: those of a method are one row.",
    ),
    click.option(
        "--compare/--no-compare",
        default=None,
        help="Compare the rows of a table over the same people, by the outcomes of their queries; default: in "
        "tables of up to 20 results, in a report of up to 300 results.",
    ),
    click.option(
        "--pairwise", is_flag=True, help="Add the differences of all pairs of rows, with p corrected by Holm."
    ),
    click.option("--published", is_flag=True, help="Add published numbers for the same data sets, apart and unranked."),
    click.option(
        "--bench",
        "benches",
        multiple=True,
        type=FILE_OR_FOLDER,
        help="Add speeds that `crbench bench -o` measured: a file, or a folder of them; may be given several times.",
    ),
    click.option("--timings", is_flag=True, help="Add what the runs took, marked as unchecked."),
    strict_option,
)
"""RESULTS, the options of `read_board`, and those that choose rows and columns, by the names of `render`."""


def read_board(
    results: tuple[Path, ...], benches: tuple[Path, ...], *, strict: bool
) -> tuple[list[Result], list[Bench]]:
    """The results and benchmarks that the command line names; the folder "results" where it names none.

    Raises:
        DataError: no results, or see `crbench.load_results`.
    """
    from crbench.results import load_results
    from crbench.results.search import no_results

    paths = results or (Path("results"),)
    with lasting():  # records have no reference cycles
        found = load_results(paths, strict=strict)
    if not found:
        raise no_results(paths)
    if not benches:
        return found, []  # reading benchmarks imports torch
    from crbench.bench import load_benches

    return found, load_benches(benches, strict=strict)
