"""The main job on few people, as a command and as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from crbench.results import load_results

SMALL = ["--set", "dataset.train_identities=8", "--set", "dataset.test_identities=6", "--set", "backbone.epochs=1"]
TINY_VPFA = ["--set", "vpfa.hidden=32", "--set", "vpfa.draws=128", "--set", "vpfa.epochs=2"]
JOB = ["run", "--dataset", "mlr-synthetic", "--aligner", "vpfa", "--aligner", "ridge", *SMALL, *TINY_VPFA]


def start(folder: Path, *extra: str) -> subprocess.Popen[bytes]:
    """The job in a process; results, cache and weights lie in the folder, and what it says in the file ``said``."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "CRBENCH_CACHE": str(folder / "cache"), "CRBENCH_WEIGHTS": str(folder / "weights")}
    with (folder / "said").open("ab") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "crbench", *JOB, "--output", str(folder / "results"), *extra],
            env={**environment, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=said,
        )


def scores(folder: Path) -> dict[str, Any]:
    """All scores that the job left, by cell."""
    return {result.cell_id: (result.trials, result.fingerprint) for result in load_results([folder / "results"])}
