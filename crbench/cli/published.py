"""``crbench published``: what papers print, without anything measured beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from crbench.cli.options import format_option
from crbench.cli.terminal import table_width, wide_option
from crbench.leaderboard import TEXT_FORMATS

if TYPE_CHECKING:
    from crbench.published import Kind, Published


@click.command()
@click.option("--dataset", "datasets", multiple=True, metavar="NAME", help="Only of this data set, e.g. mlr-caviar.")
@click.option("--method", "methods", multiple=True, metavar="TEXT", help="Only methods with this in their name.")
@click.option("--ablations", is_flag=True, help="Variants of methods, further settings and single trials too.")
@wide_option
@format_option(TEXT_FORMATS)
def published(datasets: tuple[str, ...], methods: tuple[str, ...], ablations: bool, wide: bool, form: str) -> None:
    """Print the numbers of the papers of VPFA and LRAR, with remarks where they print different values.

    What several tables print alike is one line. None of these numbers was measured here; `crbench leaderboard
    --published` shows them beside measured ones, with the differences.

    \b
    crbench published --dataset mlr-caviar
    crbench published --method LRAR --ablations --format csv
    """
    from crbench.leaderboard import as_text
    from crbench.leaderboard.board import Board, View

    lines = _chosen(datasets, methods, ("main", "ablation", "trial") if ablations else ("main",))
    view = View(published=lines, width=table_width(wide))
    click.echo(as_text(Board(blocks=(), partial=(), failed=()), view, form), nl=False)


def _chosen(datasets: Sequence[str], methods: Sequence[str], kinds: Sequence[Kind]) -> tuple[Published, ...]:
    """The lines that are asked for.

    Raises:
        ConfigError: none is.
    """
    from crbench.errors import ConfigError
    from crbench.published import published as lines_of

    known = sorted({line.dataset for line in lines_of(kinds=kinds)})
    if unknown := [name for name in datasets if name not in known]:
        raise ConfigError(f"no paper prints numbers of {unknown[0]!r}; known: {', '.join(known)}")
    parts = [text.casefold() for text in methods]
    found = tuple(
        line
        for line in lines_of(datasets or None, kinds=kinds)
        if not parts or any(part in line.method.casefold() for part in parts)
    )
    if not found:
        raise ConfigError(f"no such method among the printed numbers: {', '.join(methods)}")
    return found
