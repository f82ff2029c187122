"""``crbench bench``: how fast each stage is, and how close that is to what the hardware can do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from crbench.cli.completed import SETTING, STAGE, WEIGHTS
from crbench.cli.names import PluginName
from crbench.cli.numbers import INTEGER, NUMBER
from crbench.cli.options import FILE, FOLDER, OUTPUT, format_option
from crbench.cli.terminal import command_text
from crbench.config.amp import AMP

_NOT_FIT = 1


@click.group(invoke_without_command=True)
@click.option(
    "--stage",
    "stages",
    type=STAGE,
    multiple=True,
    metavar="STAGE",
    help="Measure only this; may be given several times.",
)
@click.option("--backbone", type=PluginName("backbone"), help="NAME[/PRESET]; adds the stage forward.")
@click.option("--aligner", type=PluginName("aligner"), help="NAME[/PRESET]; adds the stages fit and transform.")
@click.option("--dataset", type=PluginName("dataset"), help="Its images for decode; adds the stage run.")
@click.option("--set", "settings", type=SETTING, multiple=True, metavar="PART.NAME=VALUE", help="Change a parameter.")
@click.option("--weights", type=WEIGHTS, help="Weights of the backbone, as in crbench run.")
@click.option("--data-root", type=FOLDER, help="Folder of your data sets.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1.")
@click.option("--dim", type=INTEGER, help="Length of the features; default: the backbone's, else 2048.")
@click.option("--query", type=INTEGER, default=1024, show_default=True, help="Queries of an evaluation.")
@click.option("--gallery", type=INTEGER, default=8192, show_default=True, help="Gallery items of an evaluation.")
@click.option("--samples", type=INTEGER, default=1024, show_default=True, help="Images decoded, features transformed.")
@click.option("--batch-size", type=INTEGER, help="Images per network call; default: the best of several.")
@click.option("--amp", type=click.Choice(AMP), default="off", show_default=True, help="Arithmetic of the network.")
@click.option("--compile/--no-compile", default=False, help="Compile the network; its time is told apart.")
@click.option("--tf32/--no-tf32", default=False, help="Let float32 products on CUDA use TF32.")
@click.option("--precision", default="auto", show_default=True, help="Of the evaluation's products.")
@click.option("--spread", type=NUMBER, default=0.05, show_default=True, help="How well a median must be known.")
@click.option("--budget", "budget_s", type=NUMBER, default=5.0, show_default=True, help="Seconds per measurement.")
@click.option("--apart", "apart_s", type=NUMBER, default=10.0, show_default=True, help="Seconds between both blocks.")
@format_option()
@click.option("-o", "--output", type=OUTPUT, help="Write the JSON to a file too.")
@click.pass_context
def bench(ctx: click.Context, /, form: str, output: Path | None, settings: tuple[str, ...], **options: Any) -> int:
    """Measure the throughput of a method's stages, apart, on synthetic data of given size or on a data set.

    Offline is the batch with the highest throughput, SingleStream one sample at a time. Every number is a median with
    its quartiles; what is compiled or set up at the first call is told apart. FLOP/s and bytes/s are shares of what the
    device attains in the same run, in a matrix product and in a copy.

    Every stage is measured twice, in two blocks with time between them. A number is fit to be published if its median
    is known well enough, both blocks agree (within twice --spread), and neither other processes nor a hypervisor took
    processors meanwhile. One that is not fit hides no other.

    \b
    Stages: decode, forward, fit, transform, distance, ranking, evaluate, run.
    Exit code 1: measured, but a number is not fit to publish; the reason is printed.

    \b
    crbench bench --backbone resnet-tiny --aligner vpfa -o here.json
    crbench bench --aligner vpfa --dim 3840 --stage transform
    crbench bench compare here.json there.json
    """
    if ctx.invoked_subcommand is not None:
        return 0
    from crbench.bench import bench as measure
    from crbench.bench import to_json
    from crbench.bench.plan import checked_spec
    from crbench.bench.table import render
    from crbench.cli.progress import progress
    from crbench.config.settings import parse_setting
    from crbench.store.files import write_text

    spec = checked_spec(**options, settings=dict(parse_setting(text) for text in settings))
    record = measure(spec, progress=progress, command=command_text())
    if output is not None:
        write_text(output, to_json(record))
    click.echo(to_json(record) if form == "json" else render(record), nl=False)
    if not record.unfit:
        return 0
    more = f"; and {len(record.unfit) - 1} more" if len(record.unfit) > 1 else ""
    click.echo(f"crbench: not fit to publish: {record.unfit[0]}{more}", err=True)
    return _NOT_FIT


@bench.command("compare")
@click.argument("first", type=FILE)
@click.argument("second", type=FILE)
def compare(first: Path, second: Path) -> None:
    """Ratios of throughput, SECOND over FIRST, and what else differs between the two.

    Stages that are not fit to be published are left out, with the reason.

    \b
    crbench bench compare here.json there.json
    """
    from crbench.bench import load_bench
    from crbench.bench.compare import compare as ratios
    from crbench.bench.table import render_comparison

    comparison = ratios(load_bench(first), load_bench(second))
    click.echo(render_comparison(comparison, (str(first), str(second))), nl=False)
