"""``crbench verify``: raises the evidence of results by what this machine can show."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crbench.cli.names import PluginName
from crbench.cli.numbers import NUMBER
from crbench.cli.options import FILE, FILE_OR_FOLDER, FOLDER, log_options

if TYPE_CHECKING:
    from crbench.harness.verify import Verified
    from crbench.results import Result


@click.command()
@click.argument("results", nargs=-1, required=True, type=FILE_OR_FOLDER)
@click.option(
    "--features",
    multiple=True,
    type=FILE_OR_FOLDER,
    help="Of a result of evaluate: its query file, then its gallery files. Of a run: its cache, which is only read.",
)
@click.option("--meta", "meta_file", type=FILE, help="The table of the features, as in crbench evaluate.")
@click.option("--rerun", is_flag=True, help="Run the cells again, without any cache.")
@click.option(
    "--within", type=NUMBER, default=0.0, show_default=True, help="Points by which a score of a run may differ."
)
@click.option(
    "--dataset", type=PluginName("dataset"), help="Of a run: its data set here, where its name holds another path."
)
@click.option(
    "--backbone", type=PluginName("backbone"), help="Of a run: its backbone here, where its name holds another path."
)
@click.option("--weights", type=FILE_OR_FOLDER, help="Weights of the backbone, as in crbench run.")
@click.option("--data-root", type=FOLDER, help="Folder of your data sets.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1.")
@log_options
def verify(
    results: tuple[Path, ...],
    features: tuple[Path, ...],
    meta_file: Path | None,
    rerun: bool,
    within: float,
    quiet: int,
    verbose: int,
    **own: Any,
) -> int:
    """Verify RESULTS (files or folders of them) and note on this machine what was shown.

    \b
    recomputed     all scores and intervals follow from the outcomes beside the result
    re-evaluated   they follow from the features (--features)
    run here       a run on this machine gives them (--rerun)

    The leaderboard shows the level of each row; other machines, and files that are edited later, know nothing of it.
    Version, date, what was compared and the largest difference are kept in the folder CRBENCH_EVIDENCE. A result that
    is refused keeps the level that it had; exit code 3: it contradicts itself or its files, 5: it was not confirmed.
    Failed cells among others are passed over.

    \b
    crbench verify results
    crbench verify results/mine.json --features q.npz --features g.npz
    crbench verify their/result.json --rerun --data-root ~/reid-data --within 0.1
    """
    from crbench.cli.cell import context
    from crbench.cli.guard import EXIT_CODES
    from crbench.errors import CrbenchError, DataError, SystemFaultError
    from crbench.results import load_results
    from crbench.results.folder import noted
    from crbench.results.search import no_results, result_files

    _check_options(features, meta_file, rerun, within)
    files, codes, failed = result_files(results), [], 0
    if not files:
        raise no_results(results)
    run_options = {name: value for name, value in own.items() if value is not None}
    if rerun or features:
        run_options["context"] = context(quiet, verbose)
    for file in files:
        try:
            (result,) = load_results([file.path])
            if result.status == "failed":
                failed += 1
                click.echo(f"{file.path}: passed over: a failed cell, which states no scores")
                continue
            for shown in _shown(result, features, meta_file, rerun, within / 100, run_options):
                result = noted(result, shown.level, shown.compared, shown.largest_difference)
                points = f"{100 * shown.largest_difference:.3g} points"
                largest = f"largest difference: {points}" if shown.largest_difference else "no difference"
                click.echo(f"{file.path}: {shown.level}: {shown.compared}; {largest}")
        except SystemFaultError:
            raise
        except CrbenchError as error:
            codes.append(EXIT_CODES.get(type(error), EXIT_CODES[DataError]))
            click.echo(f"{file.path}: refused: {str(error).removeprefix(f'{file.path}: ')}")
    if failed == len(files):
        raise DataError(f"{', '.join(map(str, results))}: failed cells alone; `crbench run` tries them again")
    passed_over = f", {failed} passed over" if failed else ""
    click.echo(f"crbench: {len(files)} result{'s' * (len(files) != 1)}, {len(codes)} refused{passed_over}", err=True)
    return max(codes, default=0)


def _check_options(features: tuple[Path, ...], meta_file: Path | None, rerun: bool, within: float) -> None:
    from crbench.errors import ConfigError

    if meta_file is not None and not features:
        raise ConfigError("--meta is the table of features; give --features too")
    if within < 0:
        raise ConfigError(f"--within {within:g}: expected points from 0 upwards")
    if within and not (rerun or features):
        raise ConfigError("--within is for scores of a run; give --rerun, or --features with a cache folder")


def _shown(
    result: Result,
    features: tuple[Path, ...],
    meta_file: Path | None,
    again: bool,
    within: float,
    run_options: dict[str, Any],
) -> Iterator[Verified]:
    """What could be shown, the weakest first."""
    from crbench.errors import ConfigError
    from crbench.harness.verify import rerun, verify_outcomes

    if result.outcomes is not None or not (features or again):
        yield verify_outcomes(result)
    if features and result.given:
        yield _of_features(result, features, meta_file)
    elif features:
        if len(features) > 1 or features[0].is_file():
            raise ConfigError("made by a run; --features takes the cache folder with its features")
        yield rerun(result, within=within, features=features[0], **run_options)
    if again:
        yield rerun(result, within=within, **run_options)


def _of_features(result: Result, files: tuple[Path, ...], meta_file: Path | None) -> Verified:
    from crbench.cli.given_features import sides
    from crbench.harness.verify import verify_features

    query, gallery = sides(files[0], files[1:] or files, meta_file)
    return verify_features(result, query.features, gallery)
