"""``crbench diff``: why the numbers of two results differ."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from crbench.cli.compare import FORMATS, first_argument, read_rows, second_argument
from crbench.cli.options import format_option

if TYPE_CHECKING:
    from crbench.leaderboard.comparison_text import Format


@click.command()
@first_argument
@second_argument
@format_option(FORMATS)
def diff(first: Path, second: Path, form: Format) -> None:
    """List why the numbers of two results may differ: rules, data, weights, method, code, versions, environment.

    A and B are result files, or folders with the trials of one method, of whose trainings the first counts; where a
    folder holds results of several protocols, those count whose protocol the other side has, too. Scores, times and
    file names are left out.

    \b
    crbench diff here/results there/results
    """
    from crbench.leaderboard.comparison_text import render_differences
    from crbench.leaderboard.differences import differences
    from crbench.leaderboard.sides import sides_of

    rows = read_rows(first, second)
    one, other = rows[0][0], rows[1][0]
    found = differences(one.result, other.result, (one.trials, other.trials))
    click.echo(render_differences(sides_of(*rows), found, form), nl=False)
