"""What a cell costs on workers: ``python benchmarks/cluster.py --cells 300 --json cluster.json``.

Cells are five closed-form aligners on folders of features that were drawn before, over ten trials of ``mlr-synthetic``.
The same cells are computed here, by one worker and by two. Engine and imports are left out: before the clock starts,
workers have done the cells of one folder more, so that images are known too. Each process has one thread.

Wall times say what users wait, but for as long as nothing else runs on the machine only. Processor times, of all
processes of the way together, are steadier.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import click
import numpy as np
import psutil
import torch
from tabulate import tabulate
from threadpoolctl import threadpool_limits

from crbench import RunSpec, load_dataset, run
from crbench.cluster.connect import started
from crbench.cluster.request import ClusterSpec
from crbench.cluster.run import run_on_cluster
from crbench.harness.environment import describe_environment
from crbench.results import Result

ALIGNERS = ("mean-shift", "diagonal", "coral", "procrustes", "ridge")
TRIALS = 10
GOAL_MS = 50


def draw_folders(root: Path, count: int, columns: int, changes: Mapping[str, Any]) -> list[Path]:
    """Folders of random features for all rows that the trials ask for."""
    data = load_dataset("mlr-synthetic", **changes)
    protocol = next(iter(data.protocols.values()))
    asked = dict[tuple[str, float], None]()
    for trial in range(TRIALS):
        split = data.split(protocol, trial, root=root)
        for rows in (split.train, split.query, split.gallery):
            for rate in (1.0, *protocol.split.train_rates, *protocol.split.query_rates):
                asked.update(dict.fromkeys((key, float(rate)) for key in rows.keys.tolist()))
    keys, rates = zip(*asked, strict=True)
    folders = []
    for number in range(count):
        x = np.random.default_rng(number).standard_normal((len(keys), columns), dtype=np.float32)
        folders.append(root / f"features {number:03d}")
        folders[-1].mkdir()
        np.savez(folders[-1] / "all.npz", features=x, keys=np.array(keys), rates=np.array(rates, dtype=np.float32))
    return folders


@attrs.frozen
class Way:
    """How the cells are computed."""

    name: str
    workers: int | None

    @contextmanager
    def ready(self) -> Iterator[tuple[Callable[[RunSpec], Sequence[Result]], list[int]]]:
        """What computes a run, and the processes that do."""
        if self.workers is None:
            yield run, [os.getpid()]
            return
        os.environ["OMP_NUM_THREADS"] = "1"  # of each worker
        with started(ClusterSpec(workers=self.workers), share_out=False) as cluster:
            spec = ClusterSpec(scheduler=cluster.scheduler_address)
            pids = [os.getpid(), *(nanny.pid for nanny in cluster.workers.values())]
            yield lambda asked: run_on_cluster(asked, spec), pids


WAYS = (Way("here", None), Way("1 worker", 1), Way("2 workers", 2))


def measured(way: Way, first: RunSpec, spec: RunSpec) -> dict[str, Any]:
    """Seconds of a run, by the clock and of the processors, after another run that loads and compiles."""
    with tempfile.TemporaryDirectory() as folder, way.ready() as (compute, pids):
        store = {"output": Path(folder) / "results", "cache_dir": Path(folder) / "cache"}
        compute(attrs.evolve(first, **store))
        before, begin = processors(pids), time.perf_counter()
        results = compute(attrs.evolve(spec, **store))
        seconds, processor = time.perf_counter() - begin, processors(pids) - before
    bad = [result for result in results if result.status != "ok"]
    if bad:
        raise click.ClickException(f"{way.name}: {len(bad)} cells failed: {bad[0].error}")
    scores = sorted((result.cell_id, str(result.trials)) for result in results)
    return {"cells": len(results), "seconds": seconds, "processor_s": processor, "scores": scores}


def processors(pids: Sequence[int]) -> float:
    """Seconds that the processors gave to these processes."""
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return sum(one.user + one.system for one in times)


def figures(found: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Of each way with workers: what a cell costs more than here, and how much sooner all are done."""
    here = found["here"]
    return {
        name: {
            "overhead_ms": 1e3 * (one["seconds"] * (way.workers or 1) - here["seconds"]) / one["cells"],
            "overhead_processor_ms": 1e3 * (one["processor_s"] - here["processor_s"]) / one["cells"],
            "speedup": here["seconds"] / one["seconds"],
        }
        for way in WAYS[1:]
        if (name := way.name) in found and (one := found[name])
    }


@click.command()
@click.option("--cells", default=300, show_default=True, help="Rounded up to whole folders of five cells.")
@click.option("--columns", default=64, show_default=True, help="Of the features.")
@click.option("--identities", default=40, show_default=True, help="In training, and in the test.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write the figures there too.")
def main(cells: int, columns: int, identities: int, file: Path | None) -> None:
    """Print seconds of each way, milliseconds that a cell costs more on workers, and how two share the work."""
    changes = {"train_identities": identities, "test_identities": identities}
    load = [os.getloadavg()[0]]
    torch.set_num_threads(1)
    with threadpool_limits(1), tempfile.TemporaryDirectory() as name:
        folders = draw_folders(Path(name), 1 - (-cells // len(ALIGNERS)), columns, changes)
        spec = RunSpec(
            dataset="mlr-synthetic",
            backbone=[f"features:{folder}" for folder in folders[1:]],
            aligner=list(ALIGNERS),
            trial=f"0-{TRIALS - 1}",
            set={f"dataset.{key}": value for key, value in changes.items()},
            baseline=False,
            device="cpu",
        )
        first = attrs.evolve(spec, backbone=(f"features:{folders[0]}",))
        found = {}
        for way in WAYS:
            found[way.name] = measured(way, first, spec)
            print(f"{way.name}: {found[way.name]['seconds']:.1f} s", file=sys.stderr)  # noqa: T201
    load.append(os.getloadavg()[0])
    scores = [one.pop("scores") for one in found.values()]
    if any(one != scores[0] for one in scores):
        raise click.ClickException("the ways give different scores")
    record = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": attrs.asdict(describe_environment("cpu", ())),
        "load": load,
        "aligners": ALIGNERS,
        "trials": TRIALS,
        "folders": len(folders) - 1,
        "columns": columns,
        "identities": identities,
        "ways": found,
        "figures": figures(found),
    }
    if file is not None:
        file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    show(record)


def show(record: Mapping[str, Any]) -> None:
    """Print what was measured."""
    rows = [
        (
            name,
            one["cells"],
            f"{one['seconds']:.1f}",
            f"{1e3 * one['seconds'] / one['cells']:.0f}",
            f"{one['processor_s']:.1f}",
            *(f"{value:.2f}" if key == "speedup" else f"{value:.0f}" for key, value in more.items()),
        )
        for name, one in record["ways"].items()
        for more in [record["figures"].get(name, {})]
    ]
    headers = ("way", "cells", "s", "ms a cell", "processor s", "ms more a cell", "of a processor", "times as fast")
    click.echo(tabulate(rows, headers=headers, disable_numparse=True))
    click.echo(
        f"goal: {GOAL_MS} ms more a cell with 1 worker; load average {record['load'][0]:.1f} before, "
        f"{record['load'][1]:.1f} after"
    )


if __name__ == "__main__":
    main()
