"""``crbench compare``: two results, query by query."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from crbench.cli.names import PluginName
from crbench.cli.options import FILE_OR_FOLDER, format_option

if TYPE_CHECKING:
    from crbench.leaderboard.compare import GroupBy
    from crbench.leaderboard.comparison_text import Format
    from crbench.leaderboard.sides import Trainings

first_argument = click.argument("first", metavar="A", type=FILE_OR_FOLDER)
second_argument = click.argument("second", metavar="B", type=FILE_OR_FOLDER)
FORMATS = ("table", "github", "latex", "json")


def read_rows(first: Path, second: Path) -> tuple[Trainings, Trainings]:
    """The one row that the results of each of two files or folders make."""
    from crbench.leaderboard.sides import two_rows
    from crbench.results import load_results

    return two_rows(load_results([first]), load_results([second]), (str(first), str(second)))


@click.command()
@first_argument
@second_argument
@click.option(
    "--metric",
    type=PluginName("metric", ("R1", "R5", "R10", "R20")),
    default="R1",
    show_default=True,
    metavar="NAME",
    help="R1, R5, R10, R20, mAP, mINP, ...",
)
@click.option("--by", type=click.Choice(["rate", "camid"]), help="Compare the queries of each rate or camera, too.")
@format_option(FORMATS)
def compare(first: Path, second: Path, metric: str, by: GroupBy | None, form: Format) -> None:
    """Say which of two results is better, by how much, and whether the queries tell them apart.

    A and B are result files with their outcomes beside them, or folders with the trials and trainings of one method;
    where a folder holds results of several protocols, those count whose protocol the other side has, too. Queries are
    paired by trial, image and rate; people are what is drawn and exchanged, as the queries of one person are alike.
    Results whose numbers answer different questions are refused (exit code 5), with what differs.

    \b
    crbench compare results/mlr-synthetic-mlr/resnet-tiny__ridge results/mlr-synthetic-mlr/resnet-tiny__none --by rate
    """
    from crbench.leaderboard.compare import compare as compared
    from crbench.leaderboard.comparison_text import render_comparison

    click.echo(render_comparison(compared(*read_rows(first, second), metric, by), form), nl=False)
