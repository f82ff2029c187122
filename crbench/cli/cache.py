"""``crbench cache``: the folder of features and fitted transforms."""

from __future__ import annotations

from pathlib import Path

import click

from crbench.cli.numbers import NumberRange
from crbench.cli.options import FOLDER
from crbench.cli.terminal import shown

_OPTION = click.option(
    "--cache-dir",
    type=FOLDER,
    help="The folder; else CRBENCH_CACHE, config, platform.",
)


@click.group()
def cache() -> None:
    """Look after cached features and fitted transforms.

    \b
    crbench cache ls
    """


def _folder(asked: Path | None) -> Path:
    """The cache folder; one that was asked for must be there, as a misspelt one would look empty and sound."""
    from crbench.config.paths import cache_root
    from crbench.errors import DataError

    folder = cache_root(asked)
    if asked is not None and not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the cache folder of a run with --cache-dir")
    return folder


@cache.command("ls")
@_OPTION
def ls(cache_dir: Path | None) -> None:
    """List what is kept.

    \b
    crbench cache ls --cache-dir /fast/cache
    """
    from tabulate import tabulate

    from crbench.store.upkeep import list_cache

    root = _folder(cache_dir)
    rows = [
        (entry.path.relative_to(root), entry.what, entry.rows or "", f"{entry.bytes / 1e6:.1f} MB", f"{entry.days:.1f}")
        for entry in list_cache(root)
    ]
    click.echo(f"crbench: cache folder {root}", err=True)
    click.echo(tabulate(rows, headers=("entry", "of", "rows", "size", "days old")))


@cache.command("verify")
@_OPTION
@click.option(
    "--results",
    multiple=True,
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help='Folder to which runs wrote results; default: "results", if it is there.',
)
def verify(cache_dir: Path | None, results: tuple[Path, ...]) -> int:
    """Compare all that runs keep with its checksums; exit code 3 when something is damaged.

    That is features, fits, weights that were trained here, and results with their outcomes.

    \b
    crbench cache verify
    """
    from crbench.results.folder import damaged_results, written_results
    from crbench.results.search import no_results
    from crbench.statistics import check_intervals
    from crbench.store.upkeep import damaged_files, stored_files

    files = stored_files(_folder(cache_dir))
    found = [path for folder in results or (Path("results"),) for path in written_results(folder)]
    if results and not found:
        raise no_results(results)
    damaged = [f"{path}: {reason}" for path, reason in damaged_files(files)]
    damaged += damaged_results(found, check_intervals)
    for line in damaged:
        click.echo(shown(line))
    click.echo(f"crbench: {len(files)} files, {len(found)} results, {len(damaged)} damaged", err=True)
    return 3 if damaged else 0


@cache.command("prune")
@_OPTION
@click.option(
    "--older-than", type=NumberRange(min=0), metavar="DAYS", help="Delete entries unchanged for so many days."
)
@click.option("--all", "everything", is_flag=True, help="Delete all features, transforms and states of fits.")
@click.option("--bad", is_flag=True, help="Delete damaged files, trained weights included.")
@click.option("--stale", is_flag=True, help="Delete what no run asks for any more, as its key or its code has changed.")
def prune(cache_dir: Path | None, older_than: float | None, everything: bool, bad: bool, stale: bool) -> None:
    """Delete cached files; results, sound trained weights and what was measured of this machine stay.

    \b
    crbench cache prune --stale
    crbench cache prune --older-than 30
    """
    from crbench.harness.stale import stale_entries
    from crbench.store.upkeep import list_cache, prune_cache

    if not (everything or bad or stale or older_than is not None):
        raise click.UsageError("say what to delete: --older-than DAYS, --bad, --stale or --all")
    root = _folder(cache_dir)
    named: list[Path] = []
    if everything:
        named = [entry.path for entry in list_cache(root)]
    elif stale:
        named = list(stale_entries(root))
    gone = prune_cache(root, older_than_days=older_than, bad=bad, named=named)
    click.echo(f"crbench: deleted {len(gone)} entries", err=True)
