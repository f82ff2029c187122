"""``crbench report``: result files to one page."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crbench.cli.board import board_options, read_board
from crbench.cli.numbers import IntegerRange
from crbench.cli.options import FOLDER, OUTPUT
from crbench.cli.replaced import check_inputs_kept
from crbench.errors import ConfigError, DataError
from crbench.report import render
from crbench.report.strips import LONGEST, Request

if TYPE_CHECKING:
    from crbench.harness.ranked import RankedTrial
    from crbench.results import Result


@click.command()
@board_options
@click.option(
    "--output",
    "-o",
    type=OUTPUT,
    default=Path("report.html"),
    show_default=True,
    help="Where to write the page.",
)
@click.option(
    "--strips",
    type=IntegerRange(min=1, max=LONGEST),
    metavar="N",
    help="Show N queries each that change most, are best and are worst, with what the first method of each table and "
    "its baseline find for them. Their first trials are ranked once more, from the cache where it has them.",
)
@click.option(
    "--i-may-publish-these-images",
    "consent",
    is_flag=True,
    help="Needed for --strips: the page will hold images of your data.",
)
@click.option("--blur-faces", is_flag=True, help="Blur the top quarter of each image; no face is looked for.")
@click.option("--data-root", type=FOLDER, help="Folder of your data sets, for --strips.")
@click.option("--cache-dir", type=FOLDER, help="Folder of features, for --strips.")
def report(
    results: tuple[Path, ...],
    benches: tuple[Path, ...],
    strict: bool,
    output: Path,
    strips: int | None,
    consent: bool,
    blur_faces: bool,
    data_root: Path | None,
    cache_dir: Path | None,
    **view: Any,
) -> None:
    """Write one HTML page on results: the leaderboard, figures, and all that stands behind each row.

    RESULTS are result files or folders of them; by default the folder "results". The page is one file that asks for
    nothing from a network. The same rules as for crbench leaderboard decide what is ranked together. Figures need
    matplotlib: pip install 'crbench[plot]'. With --strips the commands of the results are run once more, without a
    record, so give results that you trust.

    \b
    crbench report results -o report.html
    crbench report results --dataset mlr-synthetic --bench bench --published
    crbench report results --dataset mlr-synthetic --strips 3 --i-may-publish-these-images
    """
    from crbench.store.files import write_text

    check_inputs_kept([output], benches)
    found, measured = read_board(results, benches, strict=strict)
    request = None
    if strips is not None:
        if not consent:
            raise ConfigError(
                "--strips: the page would hold images of your data, and most data of people must not be published; "
                "give --i-may-publish-these-images if you may (`crbench data info NAME` tells the terms)"
            )
        request = Request(strips, lambda result: _ranked(result, data_root, cache_dir), blur=blur_faces)
    write_text(output, render(found, format="html", details=True, benches=measured, strips=request, **view))
    click.echo(f"crbench: wrote {output}", err=True)


def _ranked(result: Result, data_root: Path | None, cache_dir: Path | None) -> RankedTrial:
    """The first trial of a result, ranked once more by its own command."""
    import attrs

    from crbench.api.context import RunContext
    from crbench.cli.progress import progress
    from crbench.cli.run import spec_of
    from crbench.harness.ranked import ranked_trial
    from crbench.results.labels import dataset_name, is_by_content

    spec = attrs.evolve(spec_of(result.command), data_root=data_root, cache_dir=cache_dir)
    for place in [name.partition(":")[2] for name in spec.dataset] if is_by_content(result.dataset) else ():
        if not Path(place).exists():  # results name a folder without its path
            raise DataError(
                f"{result.origin}: of {dataset_name(result)}, whose place here is not known; "
                f"for --strips, call crbench report from the folder that holds {place}"
            )
    return ranked_trial(spec, context=RunContext(logger=logging.getLogger("crbench"), progress=progress))
