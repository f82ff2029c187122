"""``crbench run``: evaluate every combination of data set, backbone and aligner."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from crbench.cli.cluster_options import CLUSTER, asked_cluster, cluster_options
from crbench.cli.completed import CONFIG, PROTOCOL, SETTING, WEIGHTS
from crbench.cli.lasting import lasting
from crbench.cli.names import PluginName
from crbench.cli.numbers import INTEGER
from crbench.cli.options import FOLDER, format_option, log_options, option_group
from crbench.cli.per_query import write_all_outcomes
from crbench.cli.replaced import check_inputs_kept
from crbench.cli.scores import metric_option, per_query_option, ranks_option
from crbench.cli.terminal import command_text, table_width, wants_colour, wide_option
from crbench.config.amp import AMP_REQUESTS
from crbench.leaderboard import RANKS
from crbench.report import FORMATS, render

if TYPE_CHECKING:
    from crbench.api.context import RunContext
    from crbench.bench import Bench
    from crbench.config.run_spec import RunSpec
    from crbench.published import Published
    from crbench.results import Result


_table_options = option_group(
    format_option(FORMATS),
    ranks_option(RANKS, "tables show; CSV and JSON have R1, R5, R10 and R20 too."),
    click.option("--per-rate", is_flag=True, help="Add a Rank-1 column for each rate."),
    per_query_option,
    click.option("--timings", is_flag=True, help="Add what fits and transforms took, marked as unchecked."),
    wide_option,
)


@attrs.frozen(kw_only=True)
class _Table:
    """The values of `_table_options`: what is shown of results."""

    form: str
    ranks: tuple[int, ...]
    per_rate: bool
    per_query: Path | None
    timings: bool
    wide: bool

    def text(self, results: Sequence[Result], benches: Sequence[Bench], printed: Sequence[Published]) -> str:
        """The leaderboard of results, with the speeds in benches and rows that a paper printed."""
        return render(
            results,
            format=self.form,
            ranks=self.ranks,
            per_rate=self.per_rate,
            colour=wants_colour(),
            benches=benches,
            timings=self.timings,
            width=table_width(self.wide),
            published=printed,
        )


_TABLE = tuple(attrs.fields_dict(_Table))


@click.command()
@click.option("--dataset", type=PluginName("dataset"), multiple=True, help="Data set; may be given several times.")
@click.option("--backbone", type=PluginName("backbone"), multiple=True, help="NAME[/PRESET]; default: the data set's.")
@click.option("--aligner", type=PluginName("aligner"), multiple=True, help="NAME[/PRESET]; default: none.")
@click.option(
    "--fit-on",
    type=PluginName("dataset"),
    multiple=True,
    help="Fit aligners on the training rows of this data set; may be given several times; default: the data set's own.",
)
@click.option("--protocol", type=PROTOCOL, help="One of the data set's protocols; default: its first (mlr).")
@click.option("--trial", help="Trials, e.g. 3, 0-9 or 0,2,5-7; default: all.")
@click.option("--seed", type=INTEGER, help="Seed of training and fitting; the protocol's draws do not depend on it.")
@click.option("--device", help="auto, cpu, cuda, cuda:1; default: auto.")
@click.option(
    "--weights",
    type=WEIGHTS,
    help="Weights of the backbone: a file, its name in CRBENCH_WEIGHTS, or hf:org/repo@revision:file.",
)
@click.option("--weights-sha256", metavar="HEX", help="Refuse weights with another SHA-256; the first 8 digits do.")
@click.option(
    "--set", "settings", type=SETTING, multiple=True, metavar="PART.NAME=VALUE", help="Change one parameter or rule."
)
@click.option(
    "--config", type=CONFIG, help="TOML file, or PACKAGE:NAME of a plugin's; the options given here win over its keys."
)
@click.option("--scale", help="One of the config's scales, e.g. tiny.")
@click.option("--data-root", type=FOLDER, help="Folder of your data sets; else CRBENCH_DATA, config, platform.")
@click.option("-o", "--output", type=FOLDER, help="Folder for results; default: results.")
@click.option("--cache-dir", type=FOLDER, help="Folder for features; else CRBENCH_CACHE, config, platform.")
@click.option("--limit", type=INTEGER, help="Only the first N identities; the result is not rankable.")
@click.option("--batch-size", metavar="N|auto", help="Images per network call; default: auto, 64 (CUDA: 256).")
@click.option("-j", "--num-workers", type=INTEGER, help="Threads that decode and resize; default: one per processor.")
@click.option(
    "--amp",
    type=click.Choice(AMP_REQUESTS),
    help="Arithmetic of the network; default: off, float32. auto: what is fast here and changes no ranks.",
)
@click.option("--compile/--no-compile", default=None, help="Compile the network for extraction; default: no.")
@click.option("--on-bad-image", type=click.Choice(["error", "skip"]), help="Stop at an unreadable image, or skip it.")
@click.option("--engine", help="Evaluation engine: auto, numba, cupy, torch, reference.")
@click.option("--precision", help="Of the evaluation's products, e.g. fp32, int8; scores do not depend on it.")
@metric_option
@click.option(
    "--memory-budget",
    help="Memory of an evaluation on top of the features; default: 40MiB a thread, 1/16 of a GPU's.",
)
@click.option("--baseline/--no-baseline", default=None, help="Evaluate the aligner 'none' too; default: yes.")
@click.option("--bound/--no-bound", default=None, help="Evaluate 'none' on unshrunk queries too; default: no.")
@click.option("--cache/--no-cache", default=None, help="Keep and reuse features and fits; default: yes.")
@click.option("--outcomes/--no-outcomes", default=None, help="Keep what became of each query; default: yes.")
@click.option("--hash-keys/--no-hash-keys", default=None, help="Keep hashes of image names there; default: no.")
@click.option("--resume/--no-resume", default=None, help="Take finished cells from the output folder; default: yes.")
@click.option("--cell-timeout", metavar="TIME", help="Fail a cell after 90s, 15m or 2h; the others go on.")
@cluster_options
@click.option("--bench", "measure", is_flag=True, help="Measure the speed of the methods at the end, and show it.")
@click.option("--dry-run", is_flag=True, help="Print the cells and what each step would cost, and stop.")
@_table_options
@log_options
def run(
    settings: tuple[str, ...],
    config: str | None,
    scale: str | None,
    measure: bool,
    dry_run: bool,
    quiet: int,
    verbose: int,
    **options: Any,
) -> int:
    """Run the benchmark and print its leaderboard.

    Features, fits and finished cells are kept: a run that was stopped continues where it was. With --bench, the
    methods are measured at the end, as by crbench bench; the files lie beside the results, and crbench leaderboard
    results --bench results shows them again.

    \b
    crbench run --aligner vpfa --dataset mlr-synthetic
    crbench run --aligner vpfa --aligner ridge --dataset mlr-viper --trial 0-2
    crbench run --aligner vpfa/paper --dataset mlr-synthetic --set aligner.hidden=512
    crbench run --config crbench_lrar:table-4 --scale tiny
    crbench run --executor dask --workers 4 --aligner vpfa --aligner ridge --dataset mlr-viper
    """
    import logging

    from crbench.api.context import RunContext
    from crbench.cli.plan import note_table, print_plan
    from crbench.cli.progress import configure_logging, progress
    from crbench.errors import ConfigError
    from crbench.harness.plan import make_plan

    configure_logging(-1 if quiet else verbose)
    run_cells = _executor(**{name: options.pop(name) for name in CLUSTER})
    table = _Table(**{name: options.pop(name) for name in _TABLE})
    specs = _specs(options, settings, config, scale)
    printed = _printed(config)
    if dry_run:
        print_plan(specs, table.form)
        return 0
    check_inputs_kept([table.per_query], [Path(config)] if config is not None else [])
    if table.per_query is not None and not all(spec.outcomes for spec in specs):
        raise ConfigError("--per-query shows the outcomes of queries; leave --no-outcomes out")
    for spec in specs[1:]:
        make_plan(spec)  # all runs are checked before the first begins
    context = RunContext(logger=logging.getLogger("crbench"), progress=progress)
    runs = [(spec, run_cells(spec, context=context, on_result=_report)) for spec in specs]
    results = [result for _, found in runs for result in found]
    done = [result for result in results if result.status == "ok"]
    if done:
        benches = [bench for one in runs for bench in _benches(*one, context)] if measure else []
        started = time.perf_counter()
        click.echo(table.text(done, benches, printed), nl=False)
        note_table(specs[-1], context, table.form, len(done), time.perf_counter() - started)
        if table.per_query is not None:
            write_all_outcomes(table.per_query, done, table.ranks)
    return 0 if len(done) == len(results) else 1


def _executor(executor: str, **cluster: Any) -> Callable[..., list[Result]]:
    """What runs the cells of a spec."""
    asked = asked_cluster(executor, **cluster)
    if asked is None:
        with lasting():  # modules
            from crbench.harness.run import run as run_here

        return run_here
    from crbench.cluster.run import run_on_cluster

    return partial(run_on_cluster, cluster=asked)


def _printed(config: str | None) -> tuple[Published, ...]:
    """The printed rows of the table that a config is about."""
    from crbench.config.toml import published_in
    from crbench.published import printed_in

    table = published_in(config) if config is not None else ""
    return printed_in(table) if table else ()


def _benches(spec: RunSpec, results: Sequence[Result], context: RunContext) -> list[Bench]:
    """The speeds of a run's methods."""
    from crbench.bench import BenchSpec
    from crbench.bench.methods import bench_run

    return bench_run(spec, results, context, options=BenchSpec(), command=command_text())


def _specs(options: dict[str, Any], settings: tuple[str, ...], config: str | None, scale: str | None) -> list[RunSpec]:
    from crbench.config.run_spec import build_spec
    from crbench.config.settings import parse_setting
    from crbench.config.toml import read_specs
    from crbench.errors import ConfigError
    from crbench.harness.settings import where_they_fit

    given = {name: value for name, value in options.items() if value is not None and value != ()}
    given["set"] = dict(parse_setting(text) for text in settings)
    if config is not None:
        return where_they_fit(read_specs(config, scale=scale, given=given), given["set"])
    if scale is not None:
        raise ConfigError(f"--scale {scale}: scales are those of a config file; give --config too")
    return [build_spec(given, "run")]


def spec_of(command: str) -> RunSpec:
    """What the command of a result asks for; see `crbench.harness.command.command_line`.

    Raises:
        ConfigError: it is no run of one cell, or one that this version does not understand.
    """
    from crbench.errors import ConfigError

    words = shlex.split(command)
    if words[:2] != ["crbench", "run"]:
        raise ConfigError(f"a result cannot be run once more: its command is none of crbench run ({command})")
    try:
        options = dict(run.make_context("run", words[2:]).params)
    except click.ClickException as error:
        raise ConfigError(f"{command}: {error.format_message()}") from error
    shown = (*CLUSTER, *_TABLE, "measure", "dry_run", "quiet", "verbose")
    settings, config, scale = (options.pop(name) for name in ("settings", "config", "scale"))
    (spec,) = _specs({name: value for name, value in options.items() if name not in shown}, settings, config, scale)
    return spec


def _report(result: Result, earlier: bool) -> None:
    from crbench.results.labels import component_label, dataset_label, failure_reason

    cell = ", ".join((dataset_label(result), *map(component_label, (result.method.backbone, result.method.aligner))))
    if result.status == "failed":
        click.echo(f"crbench: {cell} failed: {failure_reason(result)}", err=True)
    elif earlier:
        click.echo(f"crbench: {cell}: already in the output folder (--no-resume runs it again)", err=True)
