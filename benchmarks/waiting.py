"""How threads of OpenMP wait for work, and what that costs: ``python benchmarks/waiting.py --jobs 0 --jobs 2``.

Each policy has a process of its own, in turns, as it is read when torch is imported. It takes steps of two kinds: of a
fit of VPFA on 512 columns, and of a training of ``resnet-tiny``, beside so many other jobs that compute without an end.
Rounds are added until the time is spent: 75 seconds, so that a quiet machine tells in less than a minute and a half.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import click
import numpy as np
from tabulate import tabulate

POLICIES: Mapping[str, Mapping[str, str]] = {
    "as GNU OpenMP has it": {},
    "passive": {"OMP_WAIT_POLICY": "passive"},
    "spin 1,000": {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"},
    "spin 10,000": {"GOMP_SPINCOUNT": "10000"},
}
_DECISIVE = ("as GNU OpenMP has it", "passive", "spin 1,000")
"""The last is what the command line sets."""
_STEPS = """
import json, sys, time
import torch
from crbench_vpfa.module import VectorPanning
from crbench import load_backbone
from crbench.denormals import denormals_flushed

def taken(model, x, loss):
    optimizer, seconds, stop = torch.optim.Adam(model.parameters(), fused=True), [], None
    while not seconds or time.perf_counter() < stop:
        start = time.perf_counter()
        loss(model(x)).backward()
        optimizer.step()
        optimizer.zero_grad()
        if stop is None:  # the first step warms up
            stop = time.perf_counter() + float(sys.argv[1])
        else:
            seconds.append(time.perf_counter() - start)
    return seconds

images = torch.randn(32, 3, 128, 64).to(memory_format=torch.channels_last)
with denormals_flushed():
    fit = taken(VectorPanning(512), torch.randn(32, 512), lambda x: x.square().mean())
    training = taken(load_backbone("resnet-tiny").model.train(), images, lambda found: found[1].square().mean())
print(json.dumps({"fit": fit, "training": training}))
"""


def _busy() -> None:
    x = np.random.default_rng(0).normal(size=(64, 64))
    while True:
        x = x @ x
        x /= np.abs(x).max()


@contextmanager
def others(count: int) -> Iterator[None]:
    """So many processes that compute until the end, each with one thread."""
    jobs = [multiprocessing.Process(target=_busy, daemon=True) for _ in range(count)]
    for job in jobs:
        job.start()
    try:
        yield
    finally:
        for job in jobs:
            job.terminate()
            job.join()


def round_of(names: Sequence[str], threads: int, seconds: float) -> Iterator[tuple[str, str, list[float]]]:
    """One process for each policy: policy, kind of step, seconds of each step."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    for name in names:
        environment = {**clean, "OMP_NUM_THREADS": str(threads), **POLICIES[name]}
        command = [sys.executable, "-c", _STEPS, str(seconds)]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        for kind, taken in json.loads(ran.stdout).items():
            yield name, kind, taken


@click.command()
@click.option("--jobs", type=int, multiple=True, default=(0, 2), show_default=True, help="Other jobs beside it.")
@click.option("--policy", type=click.Choice([*POLICIES]), multiple=True, default=_DECISIVE, show_default=True)
@click.option("--within", default=75.0, show_default=True, help="Seconds; one round is made in any case.")
@click.option("--seconds", default=1.5, show_default=True, help="Of each kind of step, in each process.")
@click.option("--threads", default=len(os.sched_getaffinity(0)), show_default=True)
def main(jobs: tuple[int, ...], policy: tuple[str, ...], within: float, seconds: float, threads: int) -> None:
    """Print milliseconds of a step: median, and the tenth that was fastest, which other jobs disturbed least."""
    found: dict[tuple[int, str, str], list[float]] = defaultdict(list)
    begun, rounds, longest = time.perf_counter(), 0, 0.0
    while not rounds or time.perf_counter() - begun + longest < within:
        start = time.perf_counter()
        for count in jobs:
            with others(count):
                for name, kind, taken in round_of(policy, threads, seconds):
                    found[count, name, kind] += taken
        rounds, longest = rounds + 1, max(longest, time.perf_counter() - start)
    columns = [(kind, quantile) for kind in ("fit", "training") for quantile in (0.5, 0.1)]
    for count in jobs:
        rows = [
            (name, *(f"{1e3 * np.quantile(found[count, name, kind], quantile):.1f}" for kind, quantile in columns))
            for name in policy
        ]
        headers = ("threads wait", "fit", "fastest tenth", "training", "fastest tenth")
        click.echo(f"\nms a step, {threads} threads beside {count} jobs of its own, {rounds} rounds")
        click.echo(tabulate(rows, headers=headers))
    click.echo(f"\nload of the machine at the end, these jobs included: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
