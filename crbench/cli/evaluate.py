"""``crbench evaluate``: scores of features from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crbench.cli.scores import FILE, groups, output_options, show, write_outcomes
from crbench.config.protocol_changes import own_protocol
from crbench.evaluation import CPU_ENGINES, ENGINES, PRECISIONS
from crbench.numerals import parse_number
from crbench.protocol.declare import rule_names
from crbench.protocol.presets import CONVENTIONS, OWN_FEATURES

if TYPE_CHECKING:
    from crbench.evaluation import Shard
    from crbench.protocol import EvalProtocol
    from crbench.records import Features

_RULES = rule_names(type(OWN_FEATURES.scoring))


def _shares(_: click.Context, parameter: click.Parameter, value: str | None) -> list[float]:
    try:
        return [] if value is None else [parse_number(part) for part in value.split(",")]
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a list of shares; expected e.g. 1e-2,1e-3") from None


@click.command()
@click.option(
    "--query", "query_file", type=FILE, required=True, help="Features of the queries: npz, npy, safetensors, mat."
)
@click.option("--gallery", "gallery_file", type=FILE, required=True, help="Features of the gallery.")
@click.option("--meta", "meta_file", type=FILE, help="CSV file with columns pid, camid, rate, dims, key, role.")
@click.option("--as", "tool", type=click.Choice(list(CONVENTIONS)), help="Score by the rules of another tool.")
@click.option("--set", "settings", multiple=True, metavar="protocol.NAME=VALUE", help=f"Rules: {', '.join(_RULES)}.")
@click.option("--rerank", metavar="k1=20,k2=6,lambda=0.3", help="Re-rank by k-reciprocal encoding (Zhong et al. 2017).")
@click.option("--engine", type=click.Choice(["auto", *ENGINES]), default="auto", show_default=True)
@click.option("--precision", type=click.Choice(["auto", *PRECISIONS]), default="auto", show_default=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1.")
@click.option("--memory-budget", help="Memory to use on top of the features; default: 40MiB a thread, 1/16 of a GPU's.")
@click.option("--fpr", "fprs", callback=_shares, metavar="LIST", help="Verification: TPR at each FPR, e.g. 1e-2,1e-3.")
@click.option("--shard", "shard_text", metavar="I/N", help="Score part I of N of the queries only; see crbench merge.")
@click.option("-o", "--output", type=FILE, help="Where to write the part (npz).")
@output_options
def evaluate(
    query_file: Path,
    gallery_file: Path,
    meta_file: Path | None,
    tool: str | None,
    settings: tuple[str, ...],
    rerank: str | None,
    engine: str,
    precision: str,
    device: str,
    memory_budget: str | None,
    fprs: list[float],
    shard_text: str | None,
    output: Path | None,
    metric: tuple[str, ...],
    group_by: str | None,
    per_query: Path | None,
    ranks: tuple[int, ...],
    form: str,
) -> None:
    """Score your own features: CMC, mAP, mINP and more.

    A npz or safetensors file holds the arrays features [n, D] and pids [n], and optionally camids, rates and dims [n].
    A npy file holds the features; the rest comes from --meta, one line per row, whose column role (query or gallery)
    says which rows are whose, or from a CSV file of the same name beside it. OpenMetricLearning's columns (path, label,
    camera, is_query, is_gallery) are understood too. An image that is query and gallery, by its path or key or as a row
    of one file, does not meet itself. A gallery pid of -1 is junk; a camid of -1 is unknown.

    \b
    crbench evaluate --query q.npz --gallery g.npz --format json
    crbench evaluate --query q.npy --gallery g.npy --meta meta.csv --group-by camid
    crbench evaluate --query q.npz --gallery g.npz --as layumi
    crbench evaluate --query q.npz --gallery g.npz --shard 2/8 --output part2.npz
    """
    from crbench.cli.progress import configure_logging, progress
    from crbench.config.units import parse_budget
    from crbench.evaluation import evaluate as score
    from crbench.evaluation.verification import verification
    from crbench.files.feature_files import load_sides
    from crbench.files.table import load_meta

    if rerank is not None:
        settings = (*settings, f"protocol.rerank={rerank}")
    protocol = _protocol(settings, tool)
    shard = _shard(
        shard_text, output, {"--fpr": fprs, "--metric": metric, "--group-by": group_by, "--per-query": per_query}
    )
    configure_logging(-1)
    options: dict[str, Any] = {"engine": engine, "precision": precision, "progress": progress}
    options["memory_budget"] = None if memory_budget is None else parse_budget(memory_budget)
    options["device"] = _device(device, engine, precision)
    meta = None if meta_file is None else load_meta(meta_file)
    query, items = load_sides(query_file, gallery_file, meta=meta)
    gallery = items.features
    if shard is not None and output is not None:
        click.echo(_write_part(query.features, gallery, protocol, shard, output, options), err=True)
        return
    masks = groups(query.features.rows, group_by, query.columns)
    found = score(query.features, gallery, protocol, metrics=metric, **options)
    accepted = verification(query.features, gallery, protocol, fprs) if fprs else {}
    for note in _notes(query.features, gallery, protocol, settings, tool):
        click.echo(f"crbench: {note}", err=True)
    if per_query is not None:
        write_outcomes(per_query, query.features.rows, found, ranks)
    click.echo(show(found, protocol, form, ranks, group_by, masks, accepted))


def _device(request: str, engine: str, precision: str) -> str:
    """The device; by itself none that the engine or the precision does not work on."""
    from crbench.harness.environment import pick_device

    return "cpu" if request == "auto" and (engine in CPU_ENGINES or precision == "int8") else pick_device(request)


def _shard(text: str | None, output: Path | None, others: dict[str, Any]) -> Shard | None:
    from crbench.errors import ConfigError
    from crbench.evaluation import Shard

    if (text is None) != (output is None):
        raise ConfigError("--shard and --output go together: --shard 2/8 --output part2.npz")
    if text is None:
        return None
    idle = [name for name, value in others.items() if value]
    if idle:
        raise ConfigError(f"{idle[0]} needs all queries, --shard scores a part of them; see crbench merge --help")
    return Shard.parse(text)


def _write_part(
    query: Features, gallery: Features, protocol: EvalProtocol, shard: Shard, output: Path, options: dict[str, Any]
) -> str:
    from crbench.evaluation import evaluate_part
    from crbench.store.shards import save_part

    part = evaluate_part(query, gallery, protocol, shard=shard, **options)
    save_part(output, part)
    return f"crbench: part {shard} with {len(part.queries)} of {len(query)} queries is in {output}"


def _protocol(settings: tuple[str, ...], tool: str | None) -> EvalProtocol:
    from crbench.config.settings import parse_setting
    from crbench.errors import ConfigError
    from crbench.ranking.distance import DISTANCES

    changes = {}
    for text in settings:
        name, value = parse_setting(text)
        part, _, field = name.partition(".")
        if part != "protocol":
            raise ConfigError(f"--set {name}: expected protocol.NAME=VALUE; given features have no {part}")
        changes[field] = value
    protocol = own_protocol(changes, tool=tool)
    if protocol.scoring.distance not in DISTANCES:
        raise ConfigError(f"unknown distance {protocol.scoring.distance!r}; known: {', '.join(DISTANCES)}")
    return protocol


def _notes(
    query: Features, gallery: Features, protocol: EvalProtocol, settings: tuple[str, ...], tool: str | None
) -> list[str]:
    from crbench.evaluation.copies import copied_queries, own_images

    given = {text.partition("=")[0].partition(".")[2] for text in settings} | set(CONVENTIONS[tool] if tool else ())
    taken = [f"{name}={getattr(protocol.scoring, name)}" for name in _RULES if name not in given]
    notes = [f"defaults taken: {', '.join(taken)}"] if taken else []
    own = own_images(query.rows, gallery.rows)
    if own:
        notes.append(f"{own} queries are in the gallery too, as the same image; they do not meet themselves")
    copies = copied_queries(query, gallery, same_camera=protocol.scoring.same_camera)
    if copies:
        notes.append(f"{copies} queries have a match with the very same features: is the query itself in the gallery?")
    unknown = [role for role, feats in (("query", query), ("gallery", gallery)) if (feats.rows.camids == -1).all()]
    if unknown and protocol.scoring.same_camera == "ignore":
        notes.append(f"cameras of the {' and '.join(unknown)} are unknown, so the same-camera rule removes nothing")
    return notes
