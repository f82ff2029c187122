"""``crbench evaluate``: scores of features from elsewhere."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crbench.evaluation import ENGINES, PRECISIONS
from crbench.evaluation.conventions import CONVENTIONS, RULES, own_protocol

if TYPE_CHECKING:
    from crbench.evaluation import Evaluation, Scores
    from crbench.features_io import Loaded
    from crbench.protocols import EvalProtocol
    from crbench.records import Features

_FILE = click.Path(path_type=Path, dir_okay=False)


def _shares(_: click.Context, parameter: click.Parameter, value: str | None) -> list[float]:
    try:
        return [] if value is None else [float(part) for part in value.split(",")]
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a list of shares; expected e.g. 1e-2,1e-3") from None


@click.command()
@click.option(
    "--query", "query_file", type=_FILE, required=True, help="Features of the queries: npz, npy, safetensors."
)
@click.option("--gallery", "gallery_file", type=_FILE, required=True, help="Features of the gallery.")
@click.option("--meta", "meta_file", type=_FILE, help="CSV file with columns pid, camid, rate, dims, key, role.")
@click.option("--as", "tool", type=click.Choice(list(CONVENTIONS)), help="Score by the rules of another tool.")
@click.option("--set", "settings", multiple=True, metavar="protocol.NAME=VALUE", help=f"Rules: {', '.join(RULES)}.")
@click.option("--rerank", metavar="k1=20,k2=6,lambda=0.3", help="Re-rank by k-reciprocal encoding (Zhong et al. 2017).")
@click.option("--engine", type=click.Choice(["auto", *ENGINES]), default="auto", show_default=True)
@click.option("--precision", type=click.Choice(["auto", *PRECISIONS]), default="auto", show_default=True)
@click.option("--memory-budget", default="128MiB", show_default=True, help="Memory to use beside the features.")
@click.option("--group-by", metavar="COLUMN", help="Scores per value of a column of the queries, e.g. camid.")
@click.option("--fpr", "fprs", callback=_shares, metavar="LIST", help="Verification: TPR at each FPR, e.g. 1e-2,1e-3.")
@click.option("--per-query", "per_query", type=_FILE, help="Write the outcome of each query to this CSV file.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def evaluate(
    query_file: Path,
    gallery_file: Path,
    meta_file: Path | None,
    tool: str | None,
    settings: tuple[str, ...],
    rerank: str | None,
    engine: str,
    precision: str,
    memory_budget: str,
    group_by: str | None,
    fprs: list[float],
    per_query: Path | None,
    form: str,
) -> None:
    """Score your own features: CMC, mAP and mINP.

    A npz or safetensors file holds the arrays features [n, D] and pids [n], and optionally camids, rates and dims [n].
    A npy file holds the features; the rest comes from --meta, one line per row, whose column role (query or gallery)
    says which rows are whose, or from a CSV file of the same name beside it. OpenMetricLearning's columns (path, label,
    camera, is_query, is_gallery) are understood too. A gallery pid of -1 is junk; a camid of -1 is unknown.

    \b
    crbench evaluate --query q.npz --gallery g.npz --format json
    crbench evaluate --query q.npy --gallery g.npy --meta meta.csv --group-by camid
    crbench evaluate --query q.npz --gallery g.npz --as layumi
    """
    from crbench.budget import parse_budget
    from crbench.evaluation import evaluate as score
    from crbench.evaluation.verification import verification
    from crbench.features_io import load_features
    from crbench.features_meta import load_meta

    if rerank is not None:
        settings = (*settings, f"protocol.rerank={rerank}")
    protocol = _protocol(settings, tool)
    memory = parse_budget(memory_budget)
    meta = None if meta_file is None else load_meta(meta_file)
    query = load_features(query_file, meta=meta, role="query")
    gallery = load_features(gallery_file, meta=meta, role="gallery").features
    groups = {} if group_by is None else _groups(query, group_by)
    found = score(query.features, gallery, protocol, engine=engine, precision=precision, memory_budget=memory)
    accepted = verification(query.features, gallery, protocol, fprs) if fprs else {}
    for note in _notes(query.features, gallery, protocol, settings, tool):
        click.echo(f"crbench: {note}", err=True)
    by_group = {value: found.outcomes.scores(mask) for value, mask in groups.items() if _counts(found, mask)}
    if per_query is not None:
        _write_outcomes(per_query, query.features, found, protocol)
    show = _as_json if form == "json" else _as_table
    click.echo(show(found, protocol, group_by, by_group, accepted))


def _protocol(settings: tuple[str, ...], tool: str | None) -> EvalProtocol:
    from crbench.config import parse_setting
    from crbench.errors import ConfigError
    from crbench.evaluation.distance import DISTANCES

    changes = {}
    for text in settings:
        name, value = parse_setting(text)
        part, _, field = name.partition(".")
        if part != "protocol":
            raise ConfigError(f"--set {name}: expected protocol.NAME=VALUE; given features have no {part}")
        changes[field] = value
    protocol = own_protocol(changes, tool=tool)
    if protocol.distance not in DISTANCES:
        raise ConfigError(f"unknown distance {protocol.distance!r}; known: {', '.join(DISTANCES)}")
    return protocol


def _notes(
    query: Features, gallery: Features, protocol: EvalProtocol, settings: tuple[str, ...], tool: str | None
) -> list[str]:
    from crbench.features_io import copied_queries

    given = {text.partition("=")[0].partition(".")[2] for text in settings} | set(CONVENTIONS[tool] if tool else ())
    taken = [f"{name}={getattr(protocol, name)}" for name in RULES if name not in given | {"ranks"}]
    notes = [f"defaults taken: {', '.join(taken)}"] if taken else []
    copies = copied_queries(query, gallery, same_camera=protocol.same_camera)
    if copies:
        notes.append(f"{copies} queries have a match with the very same features: is the query itself in the gallery?")
    unknown = [role for role, feats in (("query", query), ("gallery", gallery)) if (feats.rows.camids == -1).all()]
    if unknown and protocol.same_camera == "ignore":
        notes.append(f"cameras of the {' and '.join(unknown)} are unknown, so the same-camera rule removes nothing")
    return notes


def _groups(query: Loaded, name: str) -> dict[str, Any]:
    """Rows of each value of a column, bool[q]."""
    import numpy as np

    from crbench.errors import ConfigError

    rows = query.features.rows
    columns: dict[str, Any] = {"pid": rows.pids, "camid": rows.camids, "rate": rows.rates, **query.columns}
    if name not in columns:
        raise ConfigError(f"--group-by {name}: the queries have no such column; known: {', '.join(columns)}")
    column = columns[name]
    return {str(value): column == value for value in np.unique(column).tolist()}


def _counts(found: Evaluation, mask: Any) -> bool:
    return bool((found.outcomes.counted & mask).any())


def _as_json(
    found: Evaluation,
    protocol: EvalProtocol,
    group_by: str | None,
    by_group: Mapping[str, Scores],
    accepted: Mapping[float, float],
) -> str:
    import attrs

    content = {
        **_plain(found.scores),
        "by_rate": {f"{rate:g}": _plain(scores) for rate, scores in found.by_rate.items()},
        **({} if group_by is None else {"by_group": {value: _plain(scores) for value, scores in by_group.items()}}),
        **({"tpr_at_fpr": {f"{fpr:g}": tpr for fpr, tpr in accepted.items()}} if accepted else {}),
        "protocol": attrs.asdict(protocol),
        "fingerprint": protocol.fingerprint(),
        "engine": found.engine,
        "precision": found.precision,
    }
    return json.dumps(content, indent=2)


def _plain(scores: Scores) -> dict[str, Any]:
    return {
        "cmc": scores.cmc.tolist(),
        "mAP": scores.mAP,
        "mINP": scores.mINP,
        "n_query": scores.n_query,
        "n_valid": scores.n_valid,
    }


def _as_table(
    found: Evaluation,
    protocol: EvalProtocol,
    group_by: str | None,
    by_group: Mapping[str, Scores],
    accepted: Mapping[float, float],
) -> str:
    from tabulate import tabulate

    rates = found.by_rate if len(found.by_rate) > 1 else {}
    parts = {
        "all": found.scores,
        **{f"rate {rate:g}": scores for rate, scores in rates.items()},
        **{f"{group_by} {value}": scores for value, scores in by_group.items()},
    }
    rows = [
        (
            name,
            *(_per_cent(scores.rank(rank)) for rank in protocol.ranks),
            _per_cent(scores.mAP),
            _per_cent(scores.mINP),
            scores.n_query,
            scores.n_valid,
        )
        for name, scores in parts.items()
    ]
    headers = ("queries", *(f"Rank-{rank}" for rank in protocol.ranks), "mAP", "mINP", "number", "with a match")
    lines = [tabulate(rows, headers=headers, disable_numparse=True, colalign=("left", *["right"] * (len(headers) - 1)))]
    lines += [f"TPR at FPR {fpr:g}: {_per_cent(tpr)}" for fpr, tpr in accepted.items()]
    lines.append(f"per cent; protocol fingerprint {protocol.fingerprint()}")
    return "\n".join(lines)


def _per_cent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f}"


def _write_outcomes(path: Path, query: Features, found: Evaluation, protocol: EvalProtocol) -> None:
    from crbench.errors import DataError

    rows, outcomes = query.rows, found.outcomes
    measures = {
        **{f"cmc{rank}": outcomes.cmc[:, rank - 1] for rank in protocol.ranks},
        **({} if outcomes.ap is None else {"ap": outcomes.ap}),
        **({} if outcomes.inp is None else {"inp": outcomes.inp}),
    }
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["row", "key", "pid", "camid", "rate", "has_match", *measures])
            for row in range(len(rows)):
                own = rows.row(row)
                values = [repr(float(m[row])) if outcomes.valid[row] else "" for m in measures.values()]
                valid = int(outcomes.valid[row])
                writer.writerow([row, own.key, own.pid, own.camid, f"{own.rate:g}", valid, *values])
    except OSError as error:
        raise DataError(f"cannot write {path} ({error})") from error
