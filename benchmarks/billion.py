"""A gallery of a billion rows on workers, calculated: ``python benchmarks/billion.py --json FILE``.

How fast a node compares is that of `results/large.json`, where nothing else ran on the machine. How much memory a
worker takes and what moves between workers is measured on some small files, beside what `calculated` says of them. It
knows no waiting: not for a file system, nor for a network, nor for the slowest node.
"""

from __future__ import annotations

import json
import logging
import math
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import click
import numpy as np
import psutil
from galleries import drawn
from peak import Watched, held
from tabulate import tabulate

from crbench.cluster.gallery import BLOCK_BYTES, COUNT_BYTES, ROW_BYTES, evaluate_on_cluster
from crbench.cluster.request import ClusterSpec
from crbench.evaluation.labels import FAN_IN
from crbench.harness.environment import describe_environment
from crbench.protocol.presets import OWN_FEATURES

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
MOVED = ("positions", "facts", "counts")
LABEL_BYTES = 16
"""Of a row: pid and camid."""

FACT_BYTES = 18
"""Of a query, in what a file says of it: candidates, where its positives begin, whether it is copied."""

POSITION_BYTES = 24
"""Of a positive, see `crbench.evaluation.matches.Matches`."""


@attrs.frozen(kw_only=True)
class Work:
    """A multi-shot evaluation on a cluster.

    Attributes:
        positives: of each query.
        file_rows: in each file of the gallery.
        block: bytes of a block of queries, see `crbench.cluster.gallery`.
        pairs_per_s: that a node compares.
    """

    queries: int
    rows: int
    columns: int
    nodes: int
    positives: float
    file_rows: int
    block: int
    pairs_per_s: float


def calculated(work: Work) -> dict[str, float]:
    """What each node computes, and the bytes that it reads and gets, at most."""
    files, positives = math.ceil(work.rows / work.file_rows), work.queries * work.positives
    row = 4 * work.columns
    needed = (work.queries + positives) * (row + ROW_BYTES) + (FAN_IN + 1) * COUNT_BYTES * positives
    blocks = math.ceil(needed / work.block)
    levels = math.ceil(math.log(files, FAN_IN))
    return {
        "files": files,
        "blocks": blocks,
        "tasks": files * (2 + blocks) * (1 + 1 / (FAN_IN - 1)),
        "compute_s": work.queries * work.rows / work.pairs_per_s / work.nodes,
        "read_gallery": (1 + blocks) * work.rows * row / work.nodes,  # copies of queries are looked for in all files
        "read_labels": (2 + blocks) * work.rows * LABEL_BYTES / work.nodes,
        "read_queries": work.queries * row,
        "read_positives": positives * row,
        "get_positions": positives * POSITION_BYTES * (1 + (levels + blocks) / work.nodes),
        "get_facts": files * work.queries * FACT_BYTES * FAN_IN / (FAN_IN - 1) / work.nodes,
        "get_counts": files * positives * COUNT_BYTES * FAN_IN / (FAN_IN - 1) / work.nodes,
        "asks_get": positives * (POSITION_BYTES + 8) + 24 * work.queries,
    }


def measured(counts: Sequence[int], queries: int, columns: int, file_rows: int, persons: int, block: int) -> list[dict]:
    """Evaluations against so many files each, by two workers that have done one before."""
    from distributed import Client, LocalCluster

    options = {"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0", "silence_logs": logging.CRITICAL}
    centres = np.random.default_rng(0).standard_normal((persons, columns), dtype=np.float32)
    found = []
    with tempfile.TemporaryDirectory() as name, LocalCluster(n_workers=2, env=ONE_THREAD, **options) as cluster:
        paths, spec = [Path(name) / "q.npz"], ClusterSpec(scheduler=cluster.scheduler_address)
        np.savez(paths[0], **drawn(queries, centres, seed=0, persons=persons))
        for number in range(max(counts)):
            paths.append(Path(name) / f"{number}.npz")
            np.savez(paths[-1], **drawn(file_rows, centres, seed=number + 1, persons=100 * persons))
        pids = [nanny.pid for nanny in cluster.workers.values()]
        with Client(cluster, set_as_default=False) as client:
            for count in (1, *counts):
                before = [psutil.Process(pid).cpu_times() for pid in pids], _got(client)
                base, begin = max(held("RssAnon", pid) for pid in pids), time.perf_counter()
                with Watched(pids) as watched:
                    scores, _ = evaluate_on_cluster(
                        paths[0], paths[1 : count + 1], OWN_FEATURES, spec, memory_budget=block
                    )
                seconds, got = time.perf_counter() - begin, _got(client) - before[1]
                after = [psutil.Process(pid).cpu_times() for pid in pids]
                spent = sum(b.user + b.system - a.user - a.system for a, b in zip(before[0], after, strict=True))
                sizes = {"files": count, "seconds": seconds, "processor_s": spent, "got": got}
                per_query = float(np.diff(scores.outcomes.ranks.starts).mean())
                found.append({**sizes, "extra": watched.peak - base, "held": watched.peak, "positives": per_query})
    return found[1:]


def _got(client: Any) -> int:
    """Bytes that workers got from each other."""
    return sum(client.run(lambda dask_worker: dask_worker.transfer_outgoing_bytes_total).values())


def pace() -> float:
    """Pairs of 512 columns that a node compares in a second, from the stored results."""
    record = json.loads((Path(__file__).parent / "results" / "large.json").read_text(encoding="utf-8"))
    return float(record["query"] * record["gallery"] / record["seconds"]["crbench"]["median_s"])


@click.command()
@click.option("--queries", default=500, show_default=True)
@click.option("--columns", default=128, show_default=True)
@click.option("--file-rows", default=20_000, show_default=True)
@click.option("--files", "counts", type=int, multiple=True, default=(2, 8, 32), show_default=True)
@click.option("--block", default=4 << 20, show_default=True, help="Bytes of a block of queries.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write the figures there too.")
def main(queries: int, columns: int, file_rows: int, counts: tuple[int, ...], block: int, file: Path | None) -> None:
    """Measure a little, and calculate 100,000 x 1,000,000,000 x 512 on 32 nodes."""
    load = [os.getloadavg()[0]]
    sizes = {"queries": queries, "columns": columns, "file_rows": file_rows, "block": block}
    found = measured(counts, persons=1000, **sizes)
    for one in found:
        rows, positives = file_rows * one["files"], one["positives"]
        small = Work(**sizes, rows=rows, nodes=2, positives=positives, pairs_per_s=pace())
        one["calculated"] = calculated(small)
    work = Work(
        queries=100_000,
        rows=1_000_000_000,
        columns=512,
        nodes=32,
        positives=50,
        file_rows=1_000_000,
        block=8 * BLOCK_BYTES,
        pairs_per_s=pace(),
    )
    record = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": attrs.asdict(describe_environment("cpu", ())),
        "load": [*load, os.getloadavg()[0]],
        **sizes,
        "measured": found,
        "calculated": {"work": attrs.asdict(work), **calculated(work)},
    }
    if file is not None:
        file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    show(record)


def show(record: Mapping[str, Any]) -> None:
    """Print what was measured, and what was calculated."""
    columns = ("files", "seconds", "processor_s", "extra", "held", "got", "positives")
    rows = [
        [*(one[name] for name in columns), 2 * sum(one["calculated"][f"get_{what}"] for what in MOVED)]
        for one in record["measured"]
    ]
    click.echo(tabulate(rows, headers=(*columns, "got, at most"), floatfmt=",.4g"))
    click.echo(f"\n{record['calculated']['work']}, of each node")
    click.echo(tabulate([(key, f"{value:,.4g}") for key, value in record["calculated"].items() if key != "work"]))


if __name__ == "__main__":
    main()
