"""Whether the last steps of a fit take as long as its first: ``python benchmarks/course.py --epochs 60``.

The fit is ``vpfa/paper`` on 512 columns on which it converges. Its 120 epochs are 18,840 steps, each of 33 ms of
processor time: about ten minutes where nothing else runs, and five for 60 epochs. A smaller ``--hidden`` shortens the
steps and keeps their number.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import pairwise
from typing import Any

import attrs
import click
import numpy as np
import torch
from tabulate import tabulate

from crbench import load_aligner
from crbench.api.context import RunContext, Tracker
from crbench.api.interfaces import Aligner
from crbench.api.pairing import TrainFeatures
from crbench.bench.synthetic import training
from crbench.denormals import denormals_flushed

TENTHS = 10


@attrs.frozen
class _Report:
    """Steps done and loss at a moment, by the wall clock and by processor time of the process."""

    steps: int
    wall_s: float
    processor_s: float
    loss: float


@attrs.frozen
class _Notes:
    """A tracker that remembers when it was advanced."""

    reports: list[_Report]

    def advance(self, count: int = 1, **figures: float) -> None:
        """Note the moment."""
        done = self.reports[-1].steps + count
        self.reports.append(_Report(done, time.perf_counter(), time.process_time(), figures.get("loss", float("nan"))))


def course(aligner: Aligner, train: TrainFeatures) -> dict[str, Any]:
    """Fit as a run does: seconds of a step in each tenth of all steps, minutes in all, loss, load of the machine."""
    notes = _Notes([_Report(0, time.perf_counter(), time.process_time(), float("nan"))])

    @contextmanager
    def progress(total: int, description: str, unit: str) -> Iterator[Tracker]:
        del total, description, unit
        yield notes

    before = os.getloadavg()[0]
    with denormals_flushed():
        aligner.fit(train, run=RunContext(progress=progress))
    reports = notes.reports
    return {
        "steps": reports[-1].steps,
        "minutes": (reports[-1].wall_s - reports[0].wall_s) / 60,
        "tenths": _tenths(reports),
        "loss": {"first": reports[1].loss, "last": reports[-1].loss},
        "load": {"before": before, "after": os.getloadavg()[0]},
    }


def _tenths(reports: list[_Report]) -> list[dict[str, float]]:
    """Median seconds of a step between reports, by both clocks, in each tenth of the steps."""
    paces = [
        (
            (after.wall_s - before.wall_s) / (after.steps - before.steps),
            (after.processor_s - before.processor_s) / (after.steps - before.steps),
        )
        for before, after in pairwise(reports)
    ]
    return [
        dict(zip(("wall_s", "processor_s"), np.median(part, axis=0).tolist(), strict=True))
        for part in np.array_split(np.array(paces), TENTHS)
    ]


def denormal_cost(width: int, rounds: int = 30) -> dict[str, float]:
    """Processor seconds of an update of Adam, one thread, whose moments are normal, denormal, or flushed to zero."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    seconds: dict[str, list[float]] = {"normal": [], "denormal": [], "flushed": []}
    try:
        for _ in range(rounds):
            for name, taken in seconds.items():
                weight = torch.nn.Parameter(torch.randn(width, width))
                weight.grad = torch.zeros_like(weight)
                optimizer = torch.optim.Adam([weight], fused=True)
                optimizer.step()
                for moment in ("exp_avg", "exp_avg_sq"):
                    optimizer.state[weight][moment].fill_(1e-3 if name == "normal" else 1e-39)
                with denormals_flushed() if name == "flushed" else nullcontext():
                    start = time.thread_time()
                    optimizer.step()
                    taken.append(time.thread_time() - start)
    finally:
        torch.set_num_threads(before)
    return {name: float(np.median(taken)) for name, taken in seconds.items()}


@click.command()
@click.option("--epochs", default=120, show_default=True, help="Fewer of them are a shortened course.")
@click.option("--hidden", default=2048, show_default=True, help="Width of the module.")
@click.option("--dim", default=512, show_default=True, help="Columns of the features.")
def main(epochs: int, hidden: int, dim: int) -> None:
    """Print what a step takes in each tenth of the steps, and the last tenth beside the first, by both clocks."""
    found = course(load_aligner("vpfa/paper", epochs=epochs, hidden=hidden), training(dim, device="cpu"))
    tenths, loss, load = found["tenths"], found["loss"], found["load"]
    rows = [
        (f"{number}/{TENTHS}", 1e3 * tenth["wall_s"], 1e3 * tenth["processor_s"])
        for number, tenth in enumerate(tenths, 1)
    ]
    click.echo(tabulate(rows, headers=("part of the steps", "ms a step", "processor ms"), floatfmt=".2f"))
    wall, processor = (tenths[-1][clock] / tenths[0][clock] for clock in ("wall_s", "processor_s"))
    click.echo(f"last tenth over first: {wall:.3f} by the wall clock, {processor:.3f} by processor time")
    click.echo(
        f"{found['steps']:,} steps in {found['minutes']:.1f} minutes; loss {loss['first']:.2g} to {loss['last']:.2g}; "
        f"load {load['before']:.1f} before, {load['after']:.1f} after"
    )


if __name__ == "__main__":
    main()
