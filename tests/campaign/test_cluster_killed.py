"""Workers of a run, and the run itself, are killed at random moments: what is left is what one machine leaves."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from campaign.form import WHOLE
from campaign.jobs import content, stable
from main_job import start

from crbench.cli import invoke

pytestmark = [pytest.mark.campaign, pytest.mark.slow]
KILLS = 10 if WHOLE else 2
WORKERS = 3 if WHOLE else 2
CLUSTER = ("--executor", "dask", "--workers", str(WORKERS), "--retries", "99")


def left(folder: Path) -> list[tuple[str, object]]:
    """Every file of results and weights, without times (`campaign.jobs.TIMES`); one that is there twice twice."""
    files = [path for place in ("results", "weights") for path in (folder / place).rglob("*") if path.is_file()]
    return sorted(((stable(path.relative_to(folder)), content(path)) for path in files), key=lambda found: found[0])


def workers(run: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The workers of a run; of processes that end meanwhile none."""
    found = []
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(run.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if "spawn_main" in " ".join(child.cmdline()):
                    found.append(child)
    return found


def test_killing_workers_and_the_run_changes_no_byte(tmp_path):
    began = time.perf_counter()
    assert start(tmp_path / "here").wait() == 0
    here_s = time.perf_counter() - began
    there_s = 2 * here_s
    if WHOLE:
        began = time.perf_counter()
        assert start(tmp_path / "there", *CLUSTER).wait() == 0
        there_s = time.perf_counter() - began
        assert left(tmp_path / "there") == left(tmp_path / "here")
    expected = left(tmp_path / "here")
    assert sum(name.endswith(".json") for name, _ in expected if "results" in name) == 3
    draw, killed, rounds = random.Random(0), [], 0
    began = time.perf_counter()
    while len(killed) < KILLS:
        rounds += 1
        folder = tmp_path / f"killed {rounds}"
        killed += killed_on_its_way(folder, draw, KILLS - len(killed), there_s / 3)
        assert left(folder) == expected
        assert invoke(["cache", "verify", "--cache-dir", str(folder / "cache")]) == 0
    print(  # noqa: T201 - shown by pytest -rA
        f"here {here_s:.0f} s, {WORKERS} workers {there_s:.0f} s; killed {killed}, {rounds} runs in "
        f"{time.perf_counter() - began:.0f} s"
    )


def killed_on_its_way(folder: Path, draw: random.Random, kills: int, seconds: float) -> list[str]:
    """Let a run end that is killed so often at most, itself or one of its workers; tells what was killed."""
    killed: list[str] = []
    run = start(folder, *CLUSTER)
    while len(killed) < kills and run.poll() is None:
        time.sleep(draw.uniform(0.2, 1.0) * seconds)
        victims = workers(run)
        if victims and draw.random() < 0.6:
            killed.append("worker")
            with contextlib.suppress(psutil.Error):
                draw.choice(victims).kill()
        elif run.poll() is None:
            killed.append("run")
            run.send_signal(signal.SIGKILL)
            run.wait()
            run = start(folder, *CLUSTER)
    assert run.wait() == 0, (folder / "said").read_text()[-2000:]
    return killed
