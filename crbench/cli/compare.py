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


def read_row(path: Path) -> Trainings:
    """The one row that the results of a file or folder make."""
    from crbench.leaderboard.sides import one_row
    from crbench.results import load_results

    return one_row(load_results([path]), str(path))


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

    A and B are result files with their outcomes beside them, or folders with the trials and trainings of one method.
    Queries are paired by trial, image and rate; people are what is drawn and exchanged, as the queries of one person
    are alike. Results whose numbers answer different questions are refused (exit code 5), with what differs.

    \b
    crbench compare results/mlr-synthetic-mlr/resnet-tiny__ridge results/mlr-synthetic-mlr/resnet-tiny__none --by rate
    """
    from crbench.leaderboard.compare import compare as compared
    from crbench.leaderboard.comparison_text import render_comparison

    click.echo(render_comparison(compared(read_row(first), read_row(second), metric, by), form), nl=False)
