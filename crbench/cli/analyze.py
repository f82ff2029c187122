"""``crbench analyze``: what features say beyond scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crbench.cli.cell import cell_options, context, trial_spec
from crbench.cli.numbers import NUMBER, IntegerRange, shares
from crbench.cli.options import FOLDER, OUTPUT, format_option
from crbench.cli.terminal import table_width

if TYPE_CHECKING:
    from crbench.analysis import DirectionsReport, MixedReport, ThresholdsReport

_FORMATS = ("table", "github", "latex", "json")
_OUTPUT = click.option("-o", "--output", type=OUTPUT, help="Write to a file instead of the standard output.")


@click.group()
def analyze() -> None:
    """What features say beyond scores, for one trial of any backbone, data set and aligner.

    Features, weights and fits come from the cache, as in crbench run; what is not there is made. Nothing is recorded.

    \b
    crbench analyze directions --dataset mlr-synthetic --aligner vpfa
    """


@analyze.command()
@cell_options
@click.option(
    "--people",
    type=click.Choice(["test", "train"]),
    help="Whose images: the gallery's people, or the training people as in the paper; default: test (features: train).",
)
@click.option(
    "--permutations", type=IntegerRange(min=1), default=20, show_default=True, help="Broken pairs for Table 2a."
)
@format_option(_FORMATS)
@_OUTPUT
def directions(
    people: Any, permutations: int, form: str, output: Path | None, quiet: int, verbose: int, **options: Any
) -> None:
    """Is there a resolution direction? VPFA's Tables 1, 2a, 2b and 7, with the controls that they lack.

    Each image of the chosen people is encoded in HR and at each rate of the protocol. Beside each number stands what
    gives it meaning: broken pairs, chance, other people than those that a map was fitted on, 95 % intervals over
    people, and what the paper prints. --aligner adds Table 7 and the share of the offsets that it explains.

    \b
    crbench analyze directions --dataset mlr-synthetic --aligner vpfa --aligner ridge
    crbench analyze directions --dataset mlr-market1501 --backbone features:mine --format json -o directions.json
    crbench analyze directions --dataset mlr-cuhk03 --people train --format github
    crbench analyze directions --config crbench_vpfa:directions --scale tiny
    """
    from crbench.analysis import directions_of

    spec = trial_spec("analyze directions", **options)
    _check(output)
    report = directions_of(spec, people=people, permutations=permutations, context=context(quiet, verbose))
    _show(report, form, output)


@analyze.command()
@cell_options
@click.option(
    "--fpr",
    "fprs",
    default="1e-2,1e-3",
    show_default=True,
    callback=shares,
    metavar="LIST",
    help="Shares of false pairs that may be accepted.",
)
@click.option(
    "--far",
    "fars",
    default="0.1,0.01",
    show_default=True,
    callback=shares,
    metavar="LIST",
    help="Shares of the queries of unknown people that may be answered.",
)
@format_option(_FORMATS)
@_OUTPUT
def thresholds(
    fprs: list[float], fars: list[float], form: str, output: Path | None, quiet: int, verbose: int, **options: Any
) -> None:
    """Which distance means "the same person", by rate, and what becomes of people who are not in the gallery.

    At each share of false pairs (--fpr): the distance below which a pair is accepted, the share of true pairs that it
    accepts, and what one distance for all rates accepts. Open set: half of the people are taken out of the gallery, 20
    times; at each share of their queries that may be answered (--far), how many of the others are answered rightly.

    \b
    crbench analyze thresholds --dataset mlr-synthetic --aligner vpfa
    crbench analyze thresholds --dataset mlr-market1501 --backbone osnet --fpr 1e-4 --format json -o thresholds.json
    """
    from crbench.analysis import thresholds_of

    spec = trial_spec("analyze thresholds", **options)
    _check(output)
    report = thresholds_of(spec, fprs=fprs, fars=fars, context=context(quiet, verbose))
    _show(report, form, output)


@analyze.command()
@cell_options
@click.option(
    "--figure",
    "figures",
    type=click.Choice(("tsne", "ranked", "rate", "height", "distances")),
    multiple=True,
    help="Only this one; may be given again.",
)
@click.option(
    "--people", type=IntegerRange(min=2), default=10, show_default=True, help="People of t-SNE, drawn by the seed."
)
@click.option(
    "--queries", type=IntegerRange(min=1), default=3, show_default=True, help="Ranked lists, drawn by the seed."
)
@click.option("--blur-faces", is_flag=True, help="Blur the top quarter of each image; no face is looked for.")
@click.option(
    "--usable",
    type=NUMBER,
    default=50.0,
    show_default=True,
    metavar="PERCENT",
    help="Rank-1 from which on a height is of use.",
)
@click.option(
    "-o",
    "--output",
    type=FOLDER,
    default=Path("figures"),
    show_default=True,
    help="Folder for the figures.",
)
def plot(
    figures: tuple[str, ...],
    people: int,
    queries: int,
    blur_faces: bool,
    usable: float,
    output: Path,
    quiet: int,
    verbose: int,
    **options: Any,
) -> None:
    """Draw what features look like and what is found with them, as PNG and SVG.

    \b
    tsne       people in HR and LR before and after aligners: identity by colour, rate by brightness
    ranked     what is found first for some queries, with green and red frames
    rate       Rank-1 by rate, with 95 % intervals
    height     Rank-1 by the height of the query's image, and down to which it is usable
    distances  distances of true and false pairs, by rate

    Figures need matplotlib and scikit-learn: pip install 'crbench[plot]'.

    \b
    crbench analyze plot --dataset mlr-synthetic --aligner vpfa
    crbench analyze plot --dataset mlr-caviar --figure height --usable 40 -o figures
    """
    from crbench.analysis import PlotOptions, plots_of
    from crbench.errors import ConfigError

    if not 0 < usable <= 100:
        raise ConfigError(f"--usable {usable:g}: expected more than 0 and up to 100 per cent")
    spec = trial_spec("analyze plot", **options)
    wanted = PlotOptions(people=people, queries=queries, blur=blur_faces, usable=usable / 100)
    for drawn in plots_of(spec, output, figures, options=wanted, context=context(quiet, verbose)):
        for path in drawn.paths:
            click.echo(path)
        for finding in drawn.findings:
            click.echo(f"crbench: {finding}", err=True)


@analyze.command()
@cell_options
@format_option(_FORMATS)
@_OUTPUT
def gallery(form: str, output: Path | None, quiet: int, verbose: int, **options: Any) -> None:
    """What does the rate of the match do, where the gallery has images of several rates?

    Rank-1 of the queries of each rate, where of their own person only the gallery images of one rate are there.

    \b
    crbench analyze gallery --dataset mlr-synthetic --aligner vpfa --set protocol.gallery_rates=[1,2,4]
    """
    from crbench.analysis import mixed_of

    spec = trial_spec("analyze gallery", **options)
    _check(output)
    _show(mixed_of(spec, context=context(quiet, verbose)), form, output)


def _check(output: Path | None) -> None:
    """Refuse a place that cannot be written to before the work, which may take long."""
    from crbench.store.files import check_writable

    if output is not None:
        check_writable(output.parent)


def _show(report: DirectionsReport | ThresholdsReport | MixedReport, form: str, output: Path | None) -> None:
    from crbench.store.files import write_text

    if output is None:
        click.echo(report.render(form, table_width(wide=False)), nl=False)
    else:
        write_text(output, report.render(form))
