"""``crbench results``: look after result files."""

from __future__ import annotations

from pathlib import Path

import click

from crbench.cli.options import FILE_OR_FOLDER
from crbench.cli.strict import strict_option
from crbench.cli.terminal import shown

_PATHS = click.argument("paths", nargs=-1, required=True, type=FILE_OR_FOLDER)


@click.group()
def results() -> None:
    """Look after result files.

    \b
    crbench results validate results
    """


@results.command("upgrade")
@_PATHS
@strict_option
def upgrade(paths: tuple[Path, ...], strict: bool) -> None:
    """Rewrite result files of earlier versions in the newest one; PATHS are files or folders.

    The others stay as they are. What an earlier version did not know is null in the new file.

    \b
    crbench results upgrade results
    """
    from crbench.results.folder import upgrade_files
    from crbench.results.search import no_results

    count, new = upgrade_files(paths, strict=strict)
    if not count:
        raise no_results(paths)
    click.echo(f"crbench: {count} result{'s' * (count != 1)}, {new} upgraded", err=True)


@results.command("schema")
def schema() -> None:
    """Print the JSON Schema of result files; it follows from the records, and crbench/schema holds a copy.

    \b
    crbench results schema
    """
    import json

    from crbench.results import schema as made

    click.echo(json.dumps(made(), indent=2))


@results.command("validate")
@_PATHS
def validate(paths: tuple[Path, ...]) -> int:
    """Check that all that a result says follows from its fields and outcomes; exit code 3 where something does not.

    PATHS are files or folders. Scores and their intervals are computed anew from the outcomes beside each
    result.

    \b
    crbench results validate results
    """
    from crbench.errors import DataError
    from crbench.results.folder import validate_file
    from crbench.results.search import no_results, result_files
    from crbench.statistics import check_intervals

    files, kept, bad = result_files(paths), 0, 0
    if not files:
        raise no_results(paths)
    for file in files:
        try:
            kept += validate_file(file.path, check_intervals)
        except DataError as error:
            bad += 1
            click.echo(shown(str(error)))
    click.echo(
        f"crbench: {len(files)} result{'s' * (len(files) != 1)}, {bad} refused; {kept} agree with their outcomes",
        err=True,
    )
    return 3 if bad else 0
