"""How threads of OpenMP wait for work, and what that costs: ``python benchmarks/waiting.py --jobs 0 --jobs 2``.

Each policy has a process of its own, in turns, as it is read when torch is imported. It takes steps of two kinds: of a
fit of VPFA on 512 columns, and of a training of ``resnet-tiny``, beside so many other jobs that compute without an end.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import click
import numpy as np
from tabulate import tabulate

POLICIES: Mapping[str, Mapping[str, str]] = {
    "as GNU OpenMP has it": {},
    "passive": {"OMP_WAIT_POLICY": "passive"},
    "spin 1,000": {"GOMP_SPINCOUNT": "1000"},
    "spin 10,000": {"GOMP_SPINCOUNT": "10000"},
}
_STEPS = """
import json, sys, time
import torch
from crbench import load_aligner, load_backbone
from crbench.api.context import RunContext
from crbench.bench.fit import fit_pace
from crbench.bench.synthetic import training

found = {}
step = fit_pace(load_aligner("vpfa"), training(512, device="cpu"), device="cpu", spread=0, budget_s=float(sys.argv[1]))
found["fit"] = list(step.seconds)
model = load_backbone("resnet-tiny").model.train()
optimizer = torch.optim.AdamW(model.parameters(), fused=True)
images = torch.randn(32, 3, 128, 64).to(memory_format=torch.channels_last)
seconds, stop = [], time.perf_counter() + float(sys.argv[1])
while time.perf_counter() < stop:
    start = time.perf_counter()
    model(images)[1].square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()
    seconds.append(time.perf_counter() - start)
found["training"] = seconds[2:]
print(json.dumps(found))
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


@click.command()
@click.option("--jobs", type=int, multiple=True, default=(0, 2), show_default=True, help="Other jobs beside it.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--seconds", default=4.0, show_default=True, help="Of each kind of step, in each process.")
@click.option("--threads", default=len(os.sched_getaffinity(0)), show_default=True)
def main(jobs: tuple[int, ...], rounds: int, seconds: float, threads: int) -> None:
    """Print milliseconds of a step: median, and the tenth that was fastest, which other jobs disturbed least."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    for count in jobs:
        found = defaultdict(list)
        with others(count):
            for _ in range(rounds):
                for name, policy in POLICIES.items():
                    environment = {**clean, "OMP_NUM_THREADS": str(threads), **policy}
                    command = [sys.executable, "-c", _STEPS, str(seconds)]
                    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
                    for kind, taken in json.loads(ran.stdout).items():
                        found[name, kind] += taken
        columns = [(kind, quantile) for kind in ("fit", "training") for quantile in (0.5, 0.1)]
        rows = [
            (name, *(f"{1e3 * np.quantile(found[name, kind], quantile):.1f}" for kind, quantile in columns))
            for name in POLICIES
        ]
        headers = ("threads wait", "fit", "fastest tenth", "training", "fastest tenth")
        click.echo(f"\nms a step, {threads} threads beside {count} jobs of its own; load {os.getloadavg()[0]:.1f}")
        click.echo(tabulate(rows, headers=headers))


if __name__ == "__main__":
    main()
