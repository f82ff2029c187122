"""``crbench evaluate``: scores of features from elsewhere, and a result of them for a leaderboard."""

from __future__ import annotations

import logging
import shlex
from typing import TYPE_CHECKING, Any

import click

from crbench.cli.evaluate_options import EvaluateRequest, evaluate_options
from crbench.cli.given_features import notes, sides
from crbench.cli.lasting import lasting
from crbench.cli.per_query import write_outcomes
from crbench.cli.replaced import check_result_replaced
from crbench.cli.scores import groups, show
from crbench.cli.terminal import command_text
from crbench.metrics.cmc import CURVE_LENGTH

if TYPE_CHECKING:
    from crbench.cluster.request import ClusterSpec
    from crbench.evaluation import Evaluation, Shard
    from crbench.evaluation.copies import Overlap
    from crbench.harness.given import GivenFeatures


@click.command()
@evaluate_options
def evaluate(**options: Any) -> None:
    """Score your own features: CMC, mAP, mINP and more.

    A npz or safetensors file holds the arrays features [n, D] and pids [n], and optionally camids, rates and dims [n].
    So does a mat file, or it holds both sides as query_f, query_label, query_cam, gallery_f and so on.
    A npy file holds the features; the rest comes from --meta, one line per row, whose column role (query or gallery)
    says which rows are whose, or from a CSV file of the same name beside it. OpenMetricLearning's columns (path, label,
    camera, is_query, is_gallery) are understood too. An image that is query and gallery, by its path or key or as a row
    of one file, does not meet itself. A gallery pid of -1 is junk; a camid of -1 is unknown.

    A gallery may be many files, so that it need not fit into memory: the scores are those of all in one. Each file
    holds its labels, or a npy file has its CSV file beside it. With --executor dask workers share the files out.

    \b
    crbench evaluate --query q.npz --gallery g.npz --format json
    crbench evaluate --query q.npy --gallery g.npy --meta meta.csv --group-by camid
    crbench evaluate --query pytorch_result.mat --gallery pytorch_result.mat --as layumi
    crbench evaluate --query q.npz --gallery g.npz --name mine -o results/mine.json
    crbench evaluate --query q.npz --gallery g.npz --shard 2/8 --output part2.npz
    crbench evaluate --query q.npz --gallery shard*.npz
    crbench evaluate --executor dask --workers 4 --query q.npz --gallery shard*.npz
    """
    import time

    with lasting():  # modules
        from crbench.evaluation.verification import verification
        from crbench.harness.given import GivenFeatures
    asked = EvaluateRequest(**options)
    protocol, shard, cluster = asked.protocol(), asked.shard(), asked.cluster()
    asked.check_files()
    asked.check_verification(protocol)
    ways, files = asked.computing(), asked.gallery_files
    query, gallery = sides(asked.query_file, files, asked.meta_file, asked.fprs, in_parts=cluster is not None)
    given = GivenFeatures.of(query.features, gallery, protocol)
    if shard is not None:
        click.echo(_write_part(given, shard, asked, ways), err=True)
        return
    _check_asked(asked, given)
    masks = groups(given.query.rows, asked.group_by, query.columns)
    started = time.perf_counter()
    found, overlap = _evaluated(asked, given, cluster, ways)
    seconds = time.perf_counter() - started
    accepted = verification(given.query, given.gallery.shards[0], protocol, asked.fprs) if asked.fprs else {}
    for note in notes(given.query.rows, overlap or given.overlap, protocol, asked.rules, asked.tool):
        click.echo(f"crbench: {note}", err=True)
    if asked.per_query is not None:
        write_outcomes(asked.per_query, given.query.rows, found, asked.ranks)
    if asked.name is not None:
        _write_result(given, found, asked, seconds=seconds, device=ways["device"])
    text = show(found, protocol, asked.form, asked.ranks, asked.group_by, masks, accepted, curve=asked.curve)
    click.echo(text, nl=asked.form != "csv")


def _evaluated(
    asked: EvaluateRequest, given: GivenFeatures, cluster: ClusterSpec | None, ways: dict[str, Any]
) -> tuple[Evaluation, Overlap | None]:
    """The scores, and what is of note in the features where those who computed saw it."""
    from crbench.cli.progress import progress

    ways = {**ways, "metrics": asked.metric, "curve": asked.curve_length}
    if cluster is None:
        return given.evaluate(**ways, progress=progress), None
    from crbench.api.context import RunContext
    from crbench.cluster.gallery import evaluate_on_cluster

    context = RunContext(logger=logging.getLogger("crbench"), progress=progress)
    files = asked.query_file, asked.gallery_files
    return evaluate_on_cluster(*files, given.protocol, cluster, context=context, **ways)


def _check_asked(asked: EvaluateRequest, given: GivenFeatures) -> None:
    """Refuse, before the work, a curve that is longer than the gallery, and to replace a result of something else."""
    from crbench.errors import ConfigError

    if asked.curve is not None and asked.curve > (longest := max(CURVE_LENGTH, len(given.gallery))):
        raise ConfigError(f"--curve {asked.curve}: expected a rank up to {longest}, as the gallery has no more images")
    if asked.name is not None and asked.output is not None:
        dataset = asked.dataset or given.protocol.name
        check_result_replaced(asked.output, name=asked.name, dataset=dataset, lists=given.lists)


def _write_part(given: GivenFeatures, shard: Shard, asked: EvaluateRequest, ways: dict[str, Any]) -> str:
    from crbench.cli.progress import progress
    from crbench.store.shards import save_part

    part = given.part(shard, **ways, progress=progress)
    assert asked.output is not None
    save_part(asked.output, part)
    return f"crbench: part {shard} with {len(part.queries)} of {len(given.query)} queries is in {asked.output}"


def _write_result(given: GivenFeatures, found: Evaluation, asked: EvaluateRequest, **facts: Any) -> None:
    from crbench.harness.given import given_result
    from crbench.results.folder import noted_as_made, write_result_file

    assert asked.output is not None
    kept = found.with_curves(CURVE_LENGTH, given.query.rows, given.protocol)
    dataset, command = asked.dataset or given.protocol.name, _command(asked)
    result, outcomes = given_result(given, kept, name=str(asked.name), dataset=dataset, command=command, **facts)
    written = write_result_file(asked.output, result, [one.hashed() if asked.hash_keys else one for one in outcomes])
    warn = logging.getLogger("crbench").warning
    noted_as_made(written, "re-evaluated", "the evaluation of the features that made it", warn)
    file = asked.output
    click.echo(f"crbench: the result of {asked.name} is in {file}; `crbench leaderboard {file}` shows it", err=True)


def _command(asked: EvaluateRequest) -> str:
    """The command with the names of its files alone: a result tells nobody where they lay."""
    files = (asked.query_file, *asked.gallery_files, asked.meta_file, asked.output, asked.per_query)
    text = command_text()
    for file in sorted(filter(None, files), key=lambda file: -len(str(file))):
        text = text.replace(shlex.quote(str(file)), shlex.quote(file.name))
    return text
