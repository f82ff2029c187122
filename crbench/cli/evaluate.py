"""``crbench evaluate``: scores of features from elsewhere, and a result of them for a leaderboard."""

from __future__ import annotations

import logging
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crbench.cli.given_features import RULES, notes, sides
from crbench.cli.names import PluginName
from crbench.cli.numbers import IntegerRange, shares
from crbench.cli.per_query import write_outcomes
from crbench.cli.replaced import check_inputs_kept, check_result_replaced
from crbench.cli.scores import FILE, groups, output_options, show
from crbench.cli.terminal import command_text
from crbench.config.protocol_changes import own_protocol
from crbench.evaluation import CPU_ENGINES, ENGINES, PRECISIONS
from crbench.metrics.cmc import CURVE_LENGTH
from crbench.protocol.presets import CONVENTIONS

if TYPE_CHECKING:
    from crbench.evaluation import Evaluation, Shard
    from crbench.harness.given import GivenFeatures
    from crbench.protocol import EvalProtocol


@click.command()
@click.option(
    "--query", "query_file", type=FILE, required=True, help="Features of the queries: npz, npy, safetensors, mat."
)
@click.option(
    "--gallery",
    "gallery_file",
    type=FILE,
    required=True,
    metavar="FILE...",
    help="Features of the gallery, in one file or in several.",
)
@click.argument("more_gallery_files", type=FILE, nargs=-1, metavar="[GALLERY]...")
@click.option("--meta", "meta_file", type=FILE, help="CSV file with columns pid, camid, rate, dims, key, role.")
@click.option("--as", "tool", type=click.Choice(list(CONVENTIONS)), help="Score by the rules of another tool.")
@click.option("--set", "settings", multiple=True, metavar="protocol.NAME=VALUE", help=f"Rules: {', '.join(RULES)}.")
@click.option(
    "--distance",
    type=PluginName("distance"),
    metavar="NAME",
    help="cosine, euclidean, sqeuclidean or that of a plugin.",
)
@click.option("--rerank", metavar="k1=20,k2=6,lambda=0.3", help="Re-rank by k-reciprocal encoding (Zhong et al. 2017).")
@click.option("--engine", type=click.Choice(["auto", *ENGINES]), default="auto", show_default=True)
@click.option("--precision", type=click.Choice(["auto", *PRECISIONS]), default="auto", show_default=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1.")
@click.option("--memory-budget", help="Memory to use on top of the features; default: 40MiB a thread, 1/16 of a GPU's.")
@click.option("--fpr", "fprs", callback=shares, metavar="LIST", help="Verification: TPR at each FPR, e.g. 1e-2,1e-3.")
@click.option("--shard", "shard_text", metavar="I/N", help="Score part I of N of the queries only; see crbench merge.")
@click.option("--name", help="Name of the method, for a result that a leaderboard shows; with --output.")
@click.option("--dataset", metavar="NAME", help="Data set of the result; default: features.")
@click.option("-o", "--output", type=FILE, help="Where to write the result (json) or the part (npz).")
@click.option("--hash-keys", is_flag=True, help="Keep hashes of image names beside the result.")
@click.option("--curve", type=IntegerRange(min=1), metavar="RANK", help="Add the CMC at each rank up to this one.")
@output_options
def evaluate(
    query_file: Path,
    gallery_file: Path,
    more_gallery_files: tuple[Path, ...],
    meta_file: Path | None,
    tool: str | None,
    settings: tuple[str, ...],
    distance: str | None,
    rerank: str | None,
    engine: str,
    precision: str,
    device: str,
    memory_budget: str | None,
    fprs: list[float],
    shard_text: str | None,
    name: str | None,
    dataset: str | None,
    output: Path | None,
    hash_keys: bool,
    curve: int | None,
    metric: tuple[str, ...],
    group_by: str | None,
    per_query: Path | None,
    ranks: tuple[int, ...],
    form: str,
) -> None:
    """Score your own features: CMC, mAP, mINP and more.

    A npz or safetensors file holds the arrays features [n, D] and pids [n], and optionally camids, rates and dims [n].
    So does a mat file, or it holds both sides as query_f, query_label, query_cam, gallery_f and so on.
    A npy file holds the features; the rest comes from --meta, one line per row, whose column role (query or gallery)
    says which rows are whose, or from a CSV file of the same name beside it. OpenMetricLearning's columns (path, label,
    camera, is_query, is_gallery) are understood too. An image that is query and gallery, by its path or key or as a row
    of one file, does not meet itself. A gallery pid of -1 is junk; a camid of -1 is unknown.

    A gallery may be many files, so that it need not fit into memory: the scores are those of all in one. Each file
    holds its labels, or a npy file has its CSV file beside it.

    \b
    crbench evaluate --query q.npz --gallery g.npz --format json
    crbench evaluate --query q.npy --gallery g.npy --meta meta.csv --group-by camid
    crbench evaluate --query pytorch_result.mat --gallery pytorch_result.mat --as layumi
    crbench evaluate --query q.npz --gallery g.npz --name mine -o results/mine.json
    crbench evaluate --query q.npz --gallery g.npz --shard 2/8 --output part2.npz
    crbench evaluate --query q.npz --gallery shard*.npz
    """
    import time

    from crbench.cli.progress import configure_logging, progress
    from crbench.config.units import parse_budget
    from crbench.evaluation.verification import verification
    from crbench.harness.given import GivenFeatures

    short = {"rerank": rerank, "distance": distance}
    settings += tuple(f"protocol.{rule}={value}" for rule, value in short.items() if value is not None)
    protocol = _protocol(settings, tool)
    whole = {"--fpr": fprs, "--metric": metric, "--group-by": group_by, "--per-query": per_query, "--curve": curve}
    shard = _shard(shard_text, output, {**whole, "--name": name})
    _check_output(shard, output, name, dataset, hash_keys)
    gallery_files = (gallery_file, *more_gallery_files)
    check_inputs_kept((output, per_query), (query_file, *gallery_files, meta_file))
    if fprs:
        _check_verification(protocol)
    configure_logging(-1)
    options: dict[str, Any] = {"engine": engine, "precision": precision, "progress": progress}
    options["memory_budget"] = None if memory_budget is None else parse_budget(memory_budget)
    options["device"] = _device(device, engine, precision)
    query, gallery = sides(query_file, gallery_files, meta_file, fprs)
    given = GivenFeatures.of(query.features, gallery, protocol)
    if shard is not None and output is not None:
        click.echo(_write_part(given, shard, output, options), err=True)
        return
    _check_curve(curve, len(given.gallery))
    dataset = dataset or protocol.name
    if name is not None and output is not None:
        check_result_replaced(output, name=name, dataset=dataset, lists=given.lists)
    masks = groups(given.query.rows, group_by, query.columns)
    started = time.perf_counter()
    found = given.evaluate(metrics=metric, curve=max(CURVE_LENGTH, curve or 0), **options)
    seconds = time.perf_counter() - started
    accepted = verification(given.query, given.gallery.shards[0], protocol, fprs) if fprs else {}
    for note in notes(given, settings, tool):
        click.echo(f"crbench: {note}", err=True)
    if per_query is not None:
        write_outcomes(per_query, given.query.rows, found, ranks)
    if name is not None and output is not None:
        kept = found.with_curves(CURVE_LENGTH, given.query.rows, protocol)
        command = _without_folders(query_file, *gallery_files, meta_file, output, per_query)
        facts = {"name": name, "dataset": dataset, "device": options["device"], "command": command}
        _write_result(given, kept, output, hash_keys, seconds=seconds, **facts)
    click.echo(show(found, protocol, form, ranks, group_by, masks, accepted, curve=curve), nl=form != "csv")


def _without_folders(*files: Path | None) -> str:
    """The command with the names of its files alone: a result tells nobody where they lay."""
    text = command_text()
    for file in sorted(filter(None, files), key=lambda file: -len(str(file))):
        text = text.replace(shlex.quote(str(file)), shlex.quote(file.name))
    return text


def _device(request: str, engine: str, precision: str) -> str:
    """The device; by itself none that the engine or the precision does not work on."""
    from crbench.harness.environment import pick_device

    return "cpu" if request == "auto" and (engine in CPU_ENGINES or precision == "int8") else pick_device(request)


def _shard(text: str | None, output: Path | None, others: dict[str, Any]) -> Shard | None:
    from crbench.errors import ConfigError
    from crbench.evaluation import Shard

    if text is None:
        return None
    if output is None:
        raise ConfigError("--shard and --output go together: --shard 2/8 --output part2.npz")
    idle = [name for name, value in others.items() if value]
    if idle:
        raise ConfigError(f"{idle[0]} needs all queries, --shard scores a part of them; see crbench merge --help")
    return Shard.parse(text)


def _check_output(
    shard: Shard | None, output: Path | None, name: str | None, dataset: str | None, hash_keys: bool
) -> None:
    """Refuse, before the work, a result that could not be written or found."""
    from crbench.errors import ConfigError

    if shard is not None:
        return
    if name is None and output is not None:
        raise ConfigError("--output: a result needs --name, a part --shard; e.g. --name mine -o results/mine.json")
    if name is not None and output is None:
        raise ConfigError("--name and --output go together: --name mine -o results/mine.json")
    if name is None and (dataset is not None or hash_keys):
        raise ConfigError("--dataset and --hash-keys are for a result; give --name and --output too")
    if name is not None and not (name.strip() and name.isprintable()):
        raise ConfigError(f"--name {name!r}: expected a name that can be printed")
    if output is not None and not re.fullmatch(r"[\w.-]+\.json", output.name):
        raise ConfigError(f"--output {output}: expected a file NAME.json, of letters, digits, '.', '_' and '-'")


def _check_curve(curve: int | None, gallery: int) -> None:
    from crbench.errors import ConfigError

    longest = max(CURVE_LENGTH, gallery)
    if curve is not None and curve > longest:
        raise ConfigError(f"--curve {curve}: expected a rank up to {longest}, as the gallery has no more images")


def _check_verification(protocol: EvalProtocol) -> None:
    from crbench.errors import ConfigError
    from crbench.ranking.distance import DISTANCES

    if protocol.scoring.distance not in DISTANCES:
        raise ConfigError(
            f"--fpr takes the distances {', '.join(DISTANCES)}, not that of a plugin ({protocol.scoring.distance})"
        )


def _write_part(given: GivenFeatures, shard: Shard, output: Path, options: dict[str, Any]) -> str:
    from crbench.store.shards import save_part

    part = given.part(shard, **options)
    save_part(output, part)
    return f"crbench: part {shard} with {len(part.queries)} of {len(given.query)} queries is in {output}"


def _write_result(given: GivenFeatures, found: Evaluation, output: Path, hash_keys: bool, **facts: Any) -> None:
    from crbench.harness.given import given_result
    from crbench.results.folder import noted_as_made, write_result_file

    result, outcomes = given_result(given, found, **facts)
    written = write_result_file(output, result, [one.hashed() if hash_keys else one for one in outcomes])
    warn = logging.getLogger("crbench").warning
    noted_as_made(written, "re-evaluated", "the evaluation of the features that made it", warn)
    click.echo(
        f"crbench: the result of {facts['name']} is in {output}; `crbench leaderboard {output}` shows it", err=True
    )


def _protocol(settings: tuple[str, ...], tool: str | None) -> EvalProtocol:
    from crbench.config.settings import parse_setting
    from crbench.errors import ConfigError

    changes = {}
    for text in settings:
        name, value = parse_setting(text)
        part, _, field = name.partition(".")
        if part != "protocol":
            raise ConfigError(f"--set {name}: expected protocol.NAME=VALUE; given features have no {part}")
        changes[field] = value
    return own_protocol(changes, tool=tool)
