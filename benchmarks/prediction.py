"""Predictions of ``crbench run --dry-run`` beside what five jobs took: ``python benchmarks/prediction.py FOLDER``.

First one trial of ``none`` and one of all methods are run, so that the machine has figures; their features and fits
are then deleted. Each job is predicted just before it runs, as a process of its own. Others that use the machine change
both.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from tabulate import tabulate

from crbench.harness.environment import describe_machine

_RUN = ("run", "--dataset", "mlr-synthetic", "-q")
_CLOSED = ("mean-shift", "diagonal", "ridge", "procrustes", "coral")

JOBS: Mapping[str, Sequence[str]] = {
    "first run, aligner none, 10 trials": ("--aligner", "none"),
    "vpfa/light after it, 10 trials": ("--aligner", "vpfa/light"),
    "five closed-form aligners, 10 trials": tuple(word for name in _CLOSED for word in ("--aligner", name)),
    "the same again, everything kept": tuple(word for name in _CLOSED for word in ("--aligner", name)),
    "match-rate, 10 trials": ("--aligner", "match-rate"),
}


def _command(words: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "crbench", *words]


def _timed(words: Sequence[str], environment: Mapping[str, str]) -> dict[str, float]:
    """Seconds of wall and processor time of a command, and the most bytes that it had."""
    started = time.perf_counter()
    with subprocess.Popen(_command(words), env=environment, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        raise RuntimeError(f"{' '.join(words)}: exit code {process.returncode}")
    scale = 1 if sys.platform == "darwin" else 1024
    return {"seconds": seconds, "cpu_s": usage.ru_utime + usage.ru_stime, "memory_bytes": usage.ru_maxrss * scale}


def _predicted(words: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    ran = subprocess.run(
        _command([*words, "--dry-run", "--format", "json"]), env=environment, capture_output=True, text=True, check=True
    )
    (found,) = json.loads(ran.stdout)
    return found


def measure(folder: Path) -> list[dict[str, Any]]:
    """Predict and run each job, with results, cache and weights in a folder that is empty at first."""
    environment = {**os.environ, "CRBENCH_CACHE": str(folder / "cache"), "CRBENCH_WEIGHTS": str(folder / "weights")}
    methods = [word for name in ("vpfa/light", *_CLOSED, "match-rate") for word in ("--aligner", name)]
    for some in (("--aligner", "none"), methods):  # a table of one row is not told from one of eight
        _timed([*_RUN, *some, "--trial", "0", "-o", str(folder / "pilot")], environment)
    for kept in ("features", "transforms"):
        shutil.rmtree(folder / "cache" / kept)
    rows = []
    for name, options in JOBS.items():
        words, load = [*_RUN, *options, "-o", str(folder / "results")], os.getloadavg()[0]
        predicted = _predicted(words, environment)
        rows.append(
            {
                "job": name,
                "predicted": predicted,
                "measured": _timed(words, environment),
                "load": [load, os.getloadavg()[0]],
            }
        )
        click.echo(f"{name}: {predicted['seconds']:.1f} s, {rows[-1]['measured']['seconds']:.1f} s", err=True)
    return rows


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the JSON to a file too.")
def main(folder: Path, output: Path | None) -> None:
    """Print seconds and memory of each job, predicted and measured, and the load of the machine."""
    if folder.exists() and any(folder.iterdir()):
        raise click.UsageError(f"{folder} is not empty; the first job must find nothing")
    rows, machine = measure(folder), describe_machine("cpu")
    if output is not None:
        output.write_text(json.dumps({"machine": machine, "jobs": rows}, indent=1) + "\n", encoding="utf-8")
    table = [
        (
            row["job"],
            f"{row['predicted']['seconds']:.1f}",
            f"{row['measured']['seconds']:.1f}",
            f"{row['predicted']['seconds'] / row['measured']['seconds']:.2f}",
            len(row["predicted"]["unknown"]),
            f"{row['predicted']['chain']['seconds']:.1f}",
            f"{row['measured']['cpu_s']:.1f}",
            f"{row['predicted']['memory_bytes'] / 1e6:.0f}",
            f"{row['measured']['memory_bytes'] / 1e6:.0f}",
            " to ".join(f"{load:.1f}" for load in row["load"]),
        )
        for row in rows
    ]
    headers = ("job", "predicted s", "measured s", "ratio", "unknown", "chain s", "CPU s", "predicted MB", "MB", "load")
    click.echo(f"{machine['cpu']}, {machine['threads']} threads, {len(os.sched_getaffinity(0))} processors")
    click.echo(tabulate(table, headers=headers, disable_numparse=True))


if __name__ == "__main__":
    main()
