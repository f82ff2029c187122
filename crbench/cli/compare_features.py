"""``crbench compare-features``: two exports of a network, or one in two arithmetics, image by image."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from crbench.cli.cell import context
from crbench.cli.completed import PROTOCOL, SETTING, WEIGHTS
from crbench.cli.lasting import lasting
from crbench.cli.names import PluginName
from crbench.cli.numbers import INTEGER, IntegerRange
from crbench.cli.options import FOLDER, format_option, log_options
from crbench.cli.terminal import shown
from crbench.config.amp import AMP

if TYPE_CHECKING:
    from crbench.config.run_spec import RunSpec
    from crbench.harness.beside import FeaturesBeside

_OF_FILES_TOO = ("form", "quiet", "verbose")
"""Options that say how the answer is printed."""

_ARITHMETIC = {"off": "float32", None: "-"}


@click.command("compare-features")
@click.argument("first", metavar="A")
@click.argument("second", metavar="[B]", required=False)
@click.option("--amp", type=click.Choice(AMP), multiple=True, help="Arithmetic of A, and of B if given again.")
@click.option("--weights", type=WEIGHTS, multiple=True, help="Weights of A, and of B if given again.")
@click.option("--dataset", type=PluginName("dataset"), default="mlr-synthetic", show_default=True, help="Data set.")
@click.option("--protocol", type=PROTOCOL, help="One of the data set's protocols; default: its first.")
@click.option("--trial", type=INTEGER, default=0, show_default=True, help="Whose queries and gallery are looked at.")
@click.option("--images", type=IntegerRange(min=2), default=256, show_default=True, help="How many are looked at.")
@click.option("--batch-size", type=IntegerRange(min=1), default=32, show_default=True, help="Images per network call.")
@click.option("--device", help="auto, cpu, cuda, cuda:1; default: auto.")
@click.option(
    "--set", "settings", type=SETTING, multiple=True, metavar="PART.NAME=VALUE", help="Change a parameter of both."
)
@click.option("--data-root", type=FOLDER, help="Folder of your data sets; else CRBENCH_DATA, config, platform.")
@format_option()
@log_options
def compare_features(
    first: str,
    second: str | None,
    images: int,
    batch_size: int,
    form: str,
    quiet: int,
    verbose: int,
    **options: Any,
) -> None:
    """Say how far the features of two computations of the same images are from each other, and whether ranks change.

    A and B are backbones as in crbench run, such as two exports of one network; without B, it is A in another
    arithmetic (--amp twice). Or they are two files of features, row by row of the same images. Told are the cosine of
    both features of an image, how many images get another nearest image, whether an image alone has the feature that
    it has in a batch, and the image that fares worst.

    \b
    crbench compare-features resnet-tiny --amp off --amp bf16
    crbench compare-features onnx:net.onnx torchscript:net.pt --dataset mlr-viper
    crbench compare-features before.npz after.npz
    """
    with lasting():  # modules
        from crbench.files.feature_files import FEATURE_SUFFIXES
        from crbench.harness.beside import features_beside, files_beside
    files = [Path(name) for name in (first, second) if name and name.lower().endswith(FEATURE_SUFFIXES)]
    if len(files) == 2:
        _refuse_network_options()
        _print(files_beside(*files), form)
        return
    if files:
        raise click.UsageError(f"{files[0]} is a file of features; give two of them, or two backbones")
    specs = _specs(first, second or first, **options)
    if specs[0] == specs[1]:
        raise click.UsageError("A would stand beside itself; give B, or --amp or --weights twice")
    _print(features_beside(specs, images, batch=batch_size, context=context(quiet, verbose)), form)


def _refuse_network_options() -> None:
    """Options that say how networks compute features play no role for files of features."""
    ctx = click.get_current_context()
    for option in ctx.command.params:
        given = ctx.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
        if given and isinstance(option, click.Option) and option.name not in _OF_FILES_TOO:
            raise click.UsageError(f"{option.opts[0]} is for networks, and plays no role for two files of features")


def _specs(
    first: str,
    second: str,
    *,
    amp: Sequence[str],
    weights: Sequence[str],
    settings: Sequence[str],
    **options: Any,
) -> tuple[RunSpec, RunSpec]:
    from crbench.config.run_spec import build_spec
    from crbench.config.settings import parse_setting

    for name, given in (("amp", amp), ("weights", weights)):
        if len(given) > 2:
            raise click.UsageError(f"--{name} is given {len(given)} times; expected at most twice, for A and for B")
    shared = {name: value for name, value in options.items() if value is not None}
    shared["set"] = dict(parse_setting(text) for text in settings)
    one, other = (
        build_spec(
            {
                **shared,
                "backbone": name,
                **({"amp": amp[min(place, len(amp) - 1)]} if amp else {}),
                **({"weights": weights[min(place, len(weights) - 1)]} if weights else {}),
            },
            "compare-features",
        )
        for place, name in enumerate((first, second))
    )
    return one, other


def _print(found: FeaturesBeside, form: str) -> None:
    click.echo(json.dumps(_facts(found), indent=1) if form == "json" else _table(found))


def _facts(found: FeaturesBeside) -> dict[str, Any]:
    import attrs
    import numpy as np

    fidelity, worst = found.fidelity, found.fidelity.worst
    return {
        "images": len(fidelity),
        "of": found.images,
        "sides": [attrs.asdict(side) for side in found.sides],
        "median_cosine": float(np.median(fidelity.cosines)),
        "least_cosine": float(fidelity.cosines[worst]),
        "nearest_changed": fidelity.flips,
        "orders_swapped": fidelity.swapped,
        "worst": _named(found, worst),
        "worst_nearest": [_named(found, int(place)) for place in fidelity.nearest[:, worst]],
    }


def _named(found: FeaturesBeside, place: int) -> str:
    """An image by its name; by its row where it has none."""
    if found.rows is None:
        return f"row {place}"
    rate = float(found.rows.rates[place])
    return str(found.rows.keys[place]) + (f" at rate {rate:g}" if rate != 1 else "")


def _table(found: FeaturesBeside) -> str:
    from tabulate import tabulate

    facts = _facts(found)
    rows = [
        (
            shown(side.name),
            _ARITHMETIC.get(side.amp, side.amp),
            side.columns,
            "-" if side.images_per_s is None else f"{side.images_per_s:.3g}",
            "-" if side.alone is None else f"{side.alone:.7f}",
        )
        for side in found.sides
    ]
    headers = ("features", "arithmetic", "columns", "images/s", "least cosine, alone and in a batch")
    nearest = [shown(name) for name in facts["worst_nearest"]]
    same = "its nearest is the same" if nearest[0] == nearest[1] else f"its nearest was {nearest[0]}, is {nearest[1]}"
    lines = (
        f"{facts['images']} images, {shown(facts['of'])}",
        tabulate(rows, headers=headers, disable_numparse=True, colalign=("left", "left", "right", "right", "right")),
        "",
        f"cosine of the two features of an image: {facts['median_cosine']:.7f} (median), "
        f"{facts['least_cosine']:.7f} (least)",
        f"images whose nearest other image is another one: {facts['nearest_changed']} of {facts['images']}",
        f"order of two images by their distance to a third: {100 * facts['orders_swapped']:.2f} % swapped",
        f"worst image: {shown(facts['worst'])}; {same}",
    )
    return "\n".join(lines)
