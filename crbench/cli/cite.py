"""``crbench cite``: BibTeX for results."""

from __future__ import annotations

from pathlib import Path

import click

from crbench.cli.options import FILE_OR_FOLDER


@click.command()
@click.argument("results", nargs=-1, type=FILE_OR_FOLDER)
def cite(results: tuple[Path, ...]) -> None:
    """Print BibTeX of crbench and of the data sets and methods of results.

    RESULTS are result files or folders of them; by default the folder "results". Plugins give the BibTeX, so those
    that the results were made with must be installed; parts of which none is known are named at the end.

    \b
    crbench cite results > results.bib
    """
    from crbench.leaderboard.citations import bibtex
    from crbench.results import load_results

    click.echo(bibtex(load_results(results or (Path("results"),))), nl=False)
