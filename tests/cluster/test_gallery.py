"""An evaluation on workers gives the bits of one here, whatever the shards, and says the same of what fails."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path

import attrs
import numpy as np
import pytest
from evaluation.bars import Counted
from evaluation.comparing import assert_same

from crbench import EvalProtocol, evaluate
from crbench.api.context import RunContext
from crbench.cli import invoke
from crbench.cluster import gallery_tasks
from crbench.cluster.gallery import evaluate_on_cluster
from crbench.cluster.request import ClusterSpec
from crbench.errors import ConfigError, DataError, EvaluationError, SystemFaultError
from crbench.evaluation.copies import Overlap
from crbench.evaluation.engines import Asked
from crbench.evaluation.ranks import Sums
from crbench.files.feature_files import load_features

ROWS = 130


def sides(*, named=True, seed=0, dtype=np.float32, dims=False):
    """Arrays of both sides, with exact ties, several rates and cameras, junk and distractors."""
    rng = np.random.default_rng(seed)
    pool = rng.integers(-3, 4, (40, 5)) + np.array([0.5, 0, 0, 0, 0])
    found = []
    for role, count in (("query", 24), ("gallery", ROWS)):
        arrays = {
            "features": pool[rng.integers(0, len(pool), count)].astype(dtype),
            "pids": rng.integers(1 if role == "query" else -1, 7, count),
            "camids": rng.integers(1, 4, count),
            "rates": rng.choice([1, 2, 4], count).astype(np.float32),
        }
        if named:
            names = rng.permutation(10 * count)[:count]  # some are images of both sides
            arrays["keys"] = np.array([f"image {number}" for number in names])
        if dims:
            arrays["dims"] = rng.integers(2, 6, count)
        found.append(arrays)
    return found


def written(folder: Path, count: int, **facts) -> tuple[Path, list[Path], Path]:
    """Files of the queries, of a gallery in so many shards, and of the whole gallery."""
    query, gallery = sides(**facts)
    np.savez(folder / "q.npz", **query)
    np.savez(folder / "whole.npz", **gallery)
    paths = []
    for number in range(count):
        some = slice(ROWS * number // count, ROWS * (number + 1) // count)
        paths.append(folder / f"shard{number:02d}.npz")
        np.savez(paths[-1], **{name: column[some] for name, column in gallery.items()})
    return folder / "q.npz", paths, folder / "whole.npz"


def here(query, whole, protocol, **options):
    return evaluate(load_features(query).features, load_features(whole, role="gallery").features, protocol, **options)


@pytest.fixture(autouse=True)
def _forget():
    gallery_tasks._last.clear()


@pytest.mark.parametrize("shot", ["multi", "single:exact", "single:mc:3"])
@pytest.mark.parametrize(
    ("count", "rules", "facts"),
    [
        (1, {}, {}),
        (7, {"ties": "optimistic", "ap_gallery": "all"}, {"named": False}),
        (7, {"ignored_cameras": "1:2,3:1+2", "junk": "keep"}, {"dims": True}),
        (7, {"distance": "euclidean", "normalise": "none", "unmatched": "zero"}, {"dtype": np.float64}),
        (64, {"ap_gallery": "all", "ignored_cameras": "1:2"}, {"named": False}),
    ],
    ids=["1", "7", "7 cameras", "7 float64", "64"],
)
def test_any_shards_give_the_bits_of_the_whole(cluster, tmp_path, monkeypatch, shot, count, rules, facts):
    monkeypatch.setattr("crbench.cluster.gallery.BLOCK_BYTES", 20_000)  # several blocks of queries
    query, paths, whole = written(tmp_path, count, **facts)
    protocol = EvalProtocol.of(shot=shot, **rules)
    bars = Counted()
    found, overlap = evaluate_on_cluster(query, paths, protocol, cluster, context=RunContext(progress=bars))
    expected = here(query, whole, protocol)
    assert_same(found, expected)
    assert (found.engine, found.precision) == (expected.engine, expected.precision)
    asked = count * int(expected.per_query.valid.sum())
    assert bars.done[f"evaluate {asked} queries"] == asked
    loaded = load_features(query).features, load_features(whole, role="gallery").features
    expected = Overlap.of(*loaded, same_camera="ignore")
    assert (overlap.own == expected.own).all()
    assert (overlap.copied == expected.copied).all()


def test_queries_of_float64_alone(cluster, tmp_path):
    query, paths, whole = written(tmp_path, 2)
    arrays = dict(np.load(query))
    features = arrays["features"].astype(np.float64)
    features[3] += 1e-9
    np.savez(query, **{**arrays, "features": features})
    protocol = EvalProtocol.of(shot="multi")
    assert_same(evaluate_on_cluster(query, paths, protocol, cluster)[0], here(query, whole, protocol))


def test_float64_in_one_shard_alone_makes_all_shards_wide(cluster, tmp_path):
    query, paths, whole = written(tmp_path, 4)
    arrays = dict(np.load(paths[1]))
    arrays["features"] = 1000 + 1e-9 * arrays["features"].astype(np.float64)
    np.savez(paths[1], **arrays)
    columns = [dict(np.load(path)) for path in paths]
    joined = {name: np.concatenate([one[name] for one in columns]) for name in arrays}
    np.savez(whole, **joined)
    protocol = EvalProtocol.of(shot="multi")
    assert_same(evaluate_on_cluster(query, paths, protocol, cluster)[0], here(query, whole, protocol))


def test_no_task_joins_more_than_a_few_others(cluster, tmp_path, monkeypatch):
    joined = []
    join = Sums.joined
    monkeypatch.setattr(Sums, "joined", lambda parts: (joined.append(len(parts)), join(parts))[1])
    query, paths, _ = written(tmp_path, 64)
    evaluate_on_cluster(query, paths, EvalProtocol.of(shot="multi"), cluster)
    assert joined == [8] * 9


def test_small_budgets_make_small_blocks(cluster, tmp_path, monkeypatch):
    blocks = []
    ready = gallery_tasks._ready
    monkeypatch.setattr(gallery_tasks, "_ready", lambda asked, block: (blocks.append(block), ready(asked, block))[1])
    monkeypatch.setattr("crbench.cluster.gallery.BLOCK_BYTES", 1)
    query, paths, whole = written(tmp_path, 3)
    protocol = EvalProtocol.of(shot="single:exact")
    assert_same(evaluate_on_cluster(query, paths, protocol, cluster)[0], here(query, whole, protocol))
    assert {len(block.rows) for block in blocks} == {1}


def test_the_command_prints_what_it_prints_here(scheduler, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    written(tmp_path, 3)
    shown = []
    for more in (
        ["whole.npz"],
        ["shard00.npz", "shard01.npz", "shard02.npz", "--executor", "dask", "--scheduler", scheduler],
    ):
        name = f"{len(more)}.csv"
        command = ["evaluate", "--query", "q.npz", "--format", "csv", "--per-query", name, "--curve", "60"]
        assert invoke([*command, "--group-by", "camid", "--gallery", *more]) == 0
        shown.append((capsys.readouterr(), Path(name).read_text()))
    assert shown[0] == shown[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rerank", "k1=3"], "--executor dask: re-ranking needs the whole gallery at once; use --executor local"),
        (["--fpr", "0.1"], "--fpr does not go with --executor dask: pairs are counted over the whole gallery"),
        (["--meta", "t.csv"], "--meta does not go with --executor dask: put a CSV file"),
        (
            ["--shard", "1/2", "-o", "part.npz"],
            "--shard does not go with --executor dask: workers share the queries out",
        ),
    ],
)
def test_what_needs_the_whole_gallery_is_refused(options, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    written(tmp_path, 2)
    (tmp_path / "t.csv").touch()
    command = ["evaluate", "--query", "q.npz", "--gallery", "shard00.npz", "shard01.npz", "--executor", "dask"]
    assert invoke([*command, *options]) == 2
    assert message in capsys.readouterr().err


def test_options_of_a_cluster_need_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    written(tmp_path, 1)
    assert invoke(["evaluate", "--query", "q.npz", "--gallery", "whole.npz", "--workers", "2"]) == 2
    assert "--workers: only with --executor dask" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda a: a.pop("keys"), DataError, r"shard01.npz: has no keys, .*shard00.npz has keys"),
        (lambda a: a.update(features=a["features"][:, :3]), EvaluationError, "features of 3, 5 columns"),
        (lambda a: a["features"].fill(np.nan), EvaluationError, "shard 2 of 3 of the gallery: gallery row 0 .* NaN"),
        (lambda a: a.update(pids=a["pids"][:-1]), DataError, "array 'pids' has 42 rows, features have 43"),
    ],
)
def test_what_cannot_be_evaluated_is_said_as_here(cluster, tmp_path, spoil, error, message):
    query, paths, _ = written(tmp_path, 3)
    arrays = dict(np.load(paths[1]))
    spoil(arrays)
    np.savez(paths[1], **arrays)
    with pytest.raises(error, match=message):
        evaluate_on_cluster(query, paths, EvalProtocol.of(shot="multi"), attrs.evolve(cluster, retries=0))


def test_strangers_and_too_many_rows_are_refused(cluster, tmp_path, monkeypatch):
    query, paths, _ = written(tmp_path, 2)
    with monkeypatch.context() as patch:
        patch.setattr("crbench.cluster.gallery.MAX_ROWS", ROWS - 1)
        with pytest.raises(EvaluationError, match=f"more than {ROWS - 1} rows"):
            evaluate_on_cluster(query, paths, EvalProtocol(), cluster)
    arrays = dict(np.load(query))
    np.savez(query, **{**arrays, "pids": arrays["pids"] + 100})
    with pytest.raises(EvaluationError, match="query and gallery have no person in common"):
        evaluate_on_cluster(query, paths, EvalProtocol(), cluster)


def test_dask_knows_how_large_counts_and_labels_are(tmp_path):
    from dask.sizeof import sizeof

    query, paths, _ = written(tmp_path, 2)
    asked = gallery_tasks.AskedEvaluation(
        query, tuple(paths), EvalProtocol.of(shot="multi"), Asked("auto", "auto", None), "cpu", 50
    )
    looked = gallery_tasks.join_looked([gallery_tasks.look_at_shard(asked, number, 65 * number) for number in (0, 1)])
    block = gallery_tasks.cut_block(looked, 0, 0, np.arange(24), False)
    counted = gallery_tasks.count_in_shard(asked, block, 1, 65)
    positives = len(looked.facts.matches.rows)
    assert sizeof(counted) >= 4 * positives
    assert min(sizeof(looked), sizeof(block)) >= 24 * positives


def test_another_version_is_refused(tmp_path):
    query, paths, _ = written(tmp_path, 1)
    asked = gallery_tasks.AskedEvaluation(query, tuple(paths), EvalProtocol(), None, "cpu", 50, version="0.0.0")
    with pytest.raises(ConfigError, match=r"who asks has 0\.0\.0; install the same version"):
        gallery_tasks.open_shard(asked, 0)


def test_what_the_system_refused_is_done_again(cluster, tmp_path, monkeypatch):
    left = [1, 1]
    load = gallery_tasks.load_rows

    def refused(*arguments, **options):
        if left:
            left.pop()
            raise SystemFaultError("cannot read x: Input/output error")
        return load(*arguments, **options)

    monkeypatch.setattr(gallery_tasks, "load_rows", refused)
    query, paths, whole = written(tmp_path, 3)
    protocol = EvalProtocol.of(shot="multi")
    assert_same(evaluate_on_cluster(query, paths, protocol, cluster)[0], here(query, whole, protocol))
    assert left == []
    left[:] = [1] * 99
    gallery_tasks._last.clear()
    with pytest.raises(SystemFaultError, match="cannot read x"):
        evaluate_on_cluster(query, paths, protocol, attrs.evolve(cluster, retries=1))


def test_a_worker_that_is_killed_costs_no_bits(tmp_path, monkeypatch):
    from distributed import LocalCluster

    monkeypatch.setattr("crbench.cluster.gallery.BLOCK_BYTES", 20_000)
    query, paths, whole = written(tmp_path, 16)
    options = {"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0", "silence_logs": logging.CRITICAL}
    with LocalCluster(n_workers=2, **options) as workers:
        left = [workers.workers[0].pid]

        class Deadly(Counted):
            """Kills a worker when a few shards are counted."""

            def __call__(self, total, description, unit):
                bar = super().__call__(total, description, unit)
                advance = bar.advance

                def deadly(count=1, **figures):
                    advance(count, **figures)
                    if left and description == "evaluate" and sum(self.done.values()) > 100:
                        os.kill(left.pop(), signal.SIGKILL)

                bar.advance = deadly
                return bar

        protocol = EvalProtocol.of(shot="single:exact", ap_gallery="all")
        asked = ClusterSpec(scheduler=workers.scheduler_address)
        found, _ = evaluate_on_cluster(query, paths, protocol, asked, context=RunContext(progress=Deadly()))
    assert left == []
    assert_same(found, here(query, whole, protocol))
