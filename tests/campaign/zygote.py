"""A process that has imported crbench and forks one child for each command: what takes seconds is done once.

Reads jobs from its standard input and answers on its standard output, one JSON object a line each.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

COMMANDS = ("crbench.cli.run", "crbench.cli.train", "crbench.harness.run", "crbench.harness.train", "crbench.training")
Command = tuple[str, ...]
SECONDS = 120
"""A child that takes longer is killed, and its test fails; of children at once, as many times as there are."""


@attrs.frozen
class Ended:
    """What became of one command.

    Attributes:
        code: its exit code; minus the signal's number where one ended it.
        out, err: what it printed.
        operations: what it did to files of its folder, in order; empty where it was killed.
    """

    code: int
    out: str
    err: str
    operations: list[str]

    @property
    def errors(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("crbench: error: ")]


class Zygote:
    """Starts the process; a context manager."""

    def __enter__(self) -> Zygote:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait(SECONDS)
        self._process.stdout.close()

    def call(self, folder: Path, *arguments: str, at: int | None = None, fault: str = "EIO") -> Ended:
        """Run a command whose folders all lie in `folder`, with a fault at its operation `at`."""
        ((ended,), _) = self._ask([{"folder": str(folder), "arguments": arguments, "at": at, "fault": fault}])
        return ended

    def together(self, folder: Path, jobs: Sequence[Command], beside: Sequence[Command]) -> tuple[list[Ended], ...]:
        """Run commands at the same time and, until all have ended, those of `beside` in turn, over and over.

        Returns:
            What became of `jobs`, and of whatever ran beside.
        """
        given = ([{"folder": str(folder), "arguments": command} for command in commands] for commands in (jobs, beside))
        return self._ask(*given)

    def _ask(self, jobs: list[dict[str, Any]], beside: Sequence[dict[str, Any]] = ()) -> tuple[list[Ended], ...]:
        print(json.dumps({"jobs": jobs, "beside": beside}), file=self._process.stdin, flush=True)
        return tuple([Ended(**ended) for ended in part] for part in json.loads(self._process.stdout.readline()))


def _child(job: dict, notes: Path) -> None:
    """One command, in a process of its own."""
    import signal

    from campaign.disk import Disk

    from crbench.cli import main

    signal.alarm(job["seconds"])
    folder = Path(job["folder"])
    os.chdir(folder)
    for name in ("DATA", "CACHE", "WEIGHTS"):
        os.environ[f"CRBENCH_{name}"] = str(folder / name.lower())
    os.environ["XDG_CONFIG_HOME"] = str(folder / "config")
    for number in (1, 2):
        os.dup2(os.open(f"{notes}-{number}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
    disk = Disk(folder, job.get("at"), job.get("fault", "EIO"))
    write = os.write
    disk.install()
    code = 1
    try:
        main(job["arguments"])
    except SystemExit as ending:
        code = ending.code or 0
    except BaseException:  # noqa: BLE001 - as the interpreter does
        import traceback

        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        record = os.open(f"{notes}-operations", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        write(record, json.dumps(disk.operations).encode())
        os._exit(code)


def _warm() -> None:
    """Import and compile what the commands need."""
    for name in ("torch.utils.flop_counter", "crbench_timm.backbone", "crbench_baselines.ridge", *COMMANDS):
        importlib.import_module(name)
    import numpy as np

    import crbench

    crbench.list_plugins()
    query, gallery = (
        crbench.features_from_arrays(scale * np.eye(4, dtype=np.float32), pids=np.arange(4)) for scale in (1, 2)
    )
    for shot in ("single:exact", "multi"):
        crbench.evaluate(query, gallery, crbench.EvalProtocol.of(shot=shot))


def _serve() -> None:
    import tempfile

    _warm()
    warnings.simplefilter("default")
    for line in sys.stdin:
        asked = json.loads(line)
        with tempfile.TemporaryDirectory() as place:
            answer = _together(asked["jobs"], asked["beside"], Path(place))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _together(jobs: list[dict], beside: list[dict], place: Path) -> tuple[list[dict], list[dict]]:
    seconds = SECONDS * len(jobs)  # they share the processors
    running = {_forked(job, place / str(number), seconds): number for number, job in enumerate(jobs)}
    ended: dict[int, dict] = {}
    others: list[dict] = []
    turns = itertools.cycle(beside)
    while running:
        if beside:
            notes = place / f"beside-{len(others)}"
            _, status = os.waitpid(_forked(next(turns), notes, seconds), 0)
            others.append(_ended(status, notes))
        for process, number in list(running.items()):
            done, status = os.waitpid(process, os.WNOHANG if beside else 0)
            if done:
                del running[process]
                ended[number] = _ended(status, place / str(number))
    return [ended[number] for number in range(len(jobs))], others


def _forked(job: dict, notes: Path, seconds: int) -> int:
    process = os.fork()
    if not process:
        _child({**job, "seconds": seconds}, notes)
    return process


def _ended(status: int, notes: Path) -> dict:
    out, err = (Path(f"{notes}-{number}").read_text(errors="replace") for number in (1, 2))
    operations = Path(f"{notes}-operations")
    done = json.loads(operations.read_text()) if operations.is_file() else []
    return {"code": os.waitstatus_to_exitcode(status), "out": out, "err": err, "operations": done}


if __name__ == "__main__":
    _serve()
