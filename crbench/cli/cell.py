"""Options that name one trial of data set, backbone and aligners, for commands that look at it and record nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from crbench.cli.completed import CONFIG, PROTOCOL, SETTING, WEIGHTS
from crbench.cli.names import PluginName
from crbench.cli.numbers import INTEGER
from crbench.cli.options import FOLDER, log_options, option_group

if TYPE_CHECKING:
    from crbench.api.context import RunContext
    from crbench.config.run_spec import RunSpec


cell_options = option_group(
    click.option("--dataset", type=PluginName("dataset"), help="Data set."),
    click.option("--backbone", type=PluginName("backbone"), help="NAME[/PRESET]; default: the data set's."),
    click.option(
        "--aligner",
        type=PluginName("aligner"),
        multiple=True,
        help="NAME[/PRESET]; may be given several times.",
    ),
    click.option("--protocol", type=PROTOCOL, help="One of the data set's protocols; default: its first (mlr)."),
    click.option("--trial", type=INTEGER, help="Trial to look at; default: the config's first, else 0."),
    click.option("--seed", type=INTEGER, help="Seed of training, fitting, and what the analysis draws."),
    click.option("--device", help="auto, cpu, cuda, cuda:1; default: auto."),
    click.option("--weights", type=WEIGHTS, help="Weights of the backbone, as in crbench run."),
    click.option("--weights-sha256", metavar="HEX", help="Refuse weights with another SHA-256."),
    click.option(
        "--set",
        "settings",
        type=SETTING,
        multiple=True,
        metavar="PART.NAME=VALUE",
        help="Change one parameter or rule.",
    ),
    click.option(
        "--config", type=CONFIG, help="TOML file of one run, or PACKAGE:NAME; options given here win over it."
    ),
    click.option("--scale", help="One of the config's scales, e.g. tiny."),
    click.option("--data-root", type=FOLDER, help="Folder of your data sets; else CRBENCH_DATA, config, platform."),
    click.option("--cache-dir", type=FOLDER, help="Folder for features; else CRBENCH_CACHE, config, platform."),
    click.option("--limit", type=INTEGER, help="Only the first N identities."),
    click.option("--batch-size", metavar="N|auto", help="Images per network call; default: auto."),
    click.option("-j", "--num-workers", type=INTEGER, help="Threads that decode and resize."),
    log_options,
)
"""The options, by the names of `RunSpec`, and -q and -v; `trial_spec` and `context` take what they give."""


def trial_spec(
    command: str,
    settings: tuple[str, ...],
    trial: int | None,
    config: str | None = None,
    scale: str | None = None,
    **options: Any,
) -> RunSpec:
    """The trial that the options and the config ask for.

    Raises:
        ConfigError: no data set, values that do not fit, or a config of several runs.
    """
    import attrs

    from crbench.config.run_spec import build_spec
    from crbench.config.settings import parse_setting
    from crbench.config.toml import read_specs
    from crbench.errors import ConfigError

    given = {name: value for name, value in options.items() if value is not None and value != ()}
    given["set"] = dict(parse_setting(text) for text in settings)
    if config is None:
        if scale is not None:
            raise ConfigError(f"--scale {scale}: scales are those of a config file; give --config too")
        spec = build_spec(given, command)
    else:
        specs = read_specs(config, scale=scale, given=given)
        if len(specs) > 1:
            raise ConfigError(f"config {config} holds {len(specs)} runs, and {command} looks at one")
        (spec,) = specs
    for name, values in (("data sets", spec.dataset), ("backbones", spec.backbone)):
        if len(values) > 1:
            raise ConfigError(f"config {config} names {len(values)} {name}, and {command} looks at one; give it here")
    first = (spec.trial or (0,))[0]
    return attrs.evolve(spec, trial=(first if trial is None else trial,))


def context(quiet: int, verbose: int) -> RunContext:
    """Notes on stderr, and progress bars."""
    import logging

    from crbench.api.context import RunContext
    from crbench.cli.progress import configure_logging, progress

    configure_logging(-1 if quiet else verbose)
    return RunContext(logger=logging.getLogger("crbench"), progress=progress)
