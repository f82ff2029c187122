"""``crbench train``: weights for a backbone, from the training images of one trial."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crbench.cli.completed import PROTOCOL, SETTING, WEIGHTS
from crbench.cli.lasting import lasting
from crbench.cli.names import PluginName
from crbench.cli.numbers import INTEGER, IntegerRange
from crbench.cli.options import FOLDER, log_options
from crbench.config.amp import AMP

if TYPE_CHECKING:
    from crbench.config.run_spec import RunSpec


@click.command()
@click.option("--dataset", type=PluginName("dataset"), help="Data set.")
@click.option("--backbone", type=PluginName("backbone"), help="NAME[/PRESET]; default: the data set's.")
@click.option("--protocol", type=PROTOCOL, help="One of the data set's protocols; default: its first (mlr).")
@click.option("--trial", type=INTEGER, default=0, show_default=True, help="Trial whose training images are used.")
@click.option("--seed", type=INTEGER, help="Seed of the training.")
@click.option("--device", help="auto, cpu, cuda, cuda:1; default: auto.")
@click.option("--weights", type=WEIGHTS, help="Start from these, as in crbench run; default: as the backbone says.")
@click.option("--weights-sha256", metavar="HEX", help="Refuse weights with another SHA-256; the first 8 digits do.")
@click.option(
    "--set", "settings", type=SETTING, multiple=True, metavar="PART.NAME=VALUE", help="Change one parameter or rule."
)
@click.option("--amp", type=click.Choice(AMP), help="Arithmetic of the training, as --set backbone.amp=...")
@click.option("--data-root", type=FOLDER, help="Folder of your data sets; else CRBENCH_DATA, config, platform.")
@click.option(
    "-o", "--output", type=FOLDER, default=Path("training"), show_default=True, help="Folder for log and plot."
)
@click.option("--limit", type=INTEGER, help="Only the first N identities.")
@click.option("--eval-every", type=IntegerRange(0), default=0, metavar="N", help="Evaluate every N epochs, too.")
@click.option("--checkpoint-every", type=IntegerRange(1), default=1, metavar="N", help="Save the state every N epochs.")
@click.option("--batch-size", metavar="N|auto", help="Images per network call of the evaluation; default: auto.")
@click.option("-j", "--num-workers", type=INTEGER, help="Threads that decode and resize; default: one per processor.")
@click.option("--resume/--no-resume", default=True, help="Use weights or a checkpoint that are there; default: yes.")
@click.option(
    "--processes",
    type=IntegerRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="Share each batch among N processes, one GPU each; needs crbench[multi].",
)
@click.option("--dry-run", is_flag=True, help="Print what would be trained, and stop.")
@log_options
def train(
    settings: tuple[str, ...],
    amp: str | None,
    eval_every: int,
    checkpoint_every: int,
    processes: int,
    dry_run: bool,
    quiet: int,
    verbose: int,
    **options: Any,
) -> None:
    """Train a backbone on the HR training images of one trial; `crbench run` then finds the weights by itself.

    A training that was stopped, even by force, continues from its last checkpoint with the same result.

    \b
    crbench train --dataset mlr-synthetic
    crbench train --dataset mlr-viper --backbone resnet50 --trial 3 --eval-every 10 --amp bf16
    crbench train --dataset mlr-synthetic --set backbone.epochs=2 --output log
    crbench train --dataset mlr-msmt17 --backbone transreid --processes 4
    """
    import logging

    from crbench.api.context import RunContext
    from crbench.cli.progress import configure_logging, progress

    with lasting():  # modules
        from crbench.harness.train import train as train_backbone
    configure_logging(-1 if quiet else verbose)
    settings = settings if amp is None else (*settings, f"backbone.amp={amp}")
    spec = _spec(options, settings)
    if dry_run:
        _print_plan(spec)
        return
    context = RunContext(logger=logging.getLogger("crbench"), progress=progress)
    done = train_backbone(
        spec, eval_every=eval_every, checkpoint_every=checkpoint_every, processes=processes, context=context
    )
    if done.seconds is None:
        click.echo("crbench: the weights were there already (--no-resume trains anew)", err=True)
    click.echo(", ".join(f"{name} {100 * value:.1f}" for name, value in done.scores.items()))
    for path in (done.weights, done.log, done.image):
        if path is not None:
            click.echo(path)
    click.echo(_command(spec, settings, done.weights))


def _command(spec: RunSpec, settings: tuple[str, ...], weights: Path) -> str:
    """The run that uses the weights."""
    import shlex

    words = ["crbench", "run", "--dataset", spec.dataset[0], "--trial", str(spec.trial[0] if spec.trial else 0)]
    given = {"--backbone": spec.backbone[:1], "--protocol": spec.protocol, "--limit": spec.limit, "--seed": spec.seed}
    given["--weights"] = None if spec.weights is None else str(weights)  # run finds those without a start by itself
    for option, value in given.items():
        if value:
            words += [option, value[0] if isinstance(value, tuple) else str(value)]
    return shlex.join([*words, *(word for setting in settings for word in ("--set", setting))])


def _spec(options: dict[str, Any], settings: tuple[str, ...]) -> RunSpec:
    from crbench.config.run_spec import build_spec
    from crbench.config.settings import parse_setting

    given = {name: value for name, value in options.items() if value is not None}
    return build_spec({**given, "set": dict(parse_setting(text) for text in settings)}, "train")


def _print_plan(spec: RunSpec) -> None:
    from tabulate import tabulate

    from crbench.harness.environment import pick_device
    from crbench.harness.train import plan_training, starting_weights, trainable

    job, notes = plan_training(spec)
    trainable(job, pick_device(spec.device), starting_weights(spec))
    row = (job.dataset.name, job.protocol.name, job.trials[0], job.backbone.name)
    click.echo(tabulate([row], headers=("data set", "protocol", "trial", "backbone")))
    for note in notes:
        click.echo(f"crbench: {note}", err=True)
