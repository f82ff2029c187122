"""What a reader of the pages has: features, results of a run, a folder of people, and the five new plugins."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from shutil import copyfile, copytree

import builders
import numpy as np
import pytest
from main_job import JOB

from crbench.api.entry import KINDS
from crbench.cli import invoke
from crbench.registry.discovery import installed


@pytest.fixture(scope="session")
def belongings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the folder ``own``, which holds results and features, and the folder ``people``."""
    folder = tmp_path_factory.mktemp("reader")
    output = ["--aligner", "procrustes", "--quiet", "-o", str(folder / "own" / "results")]
    assert invoke([*JOB, *output, "--cache-dir", str(folder / "own" / "their" / "cache")]) == 0
    for method, name in (("ridge", "here"), ("procrustes", "there"), ("ridge", "their/result")):
        (result,) = (folder / "own" / "results").rglob(f"*__{method}/*.json")
        copyfile(result, (folder / "own" / name).with_suffix(".json"))
        copyfile(result.with_suffix(".npz"), (folder / "own" / name).parent / result.with_suffix(".npz").name)
        if "/" not in name:
            copytree(result.parent, folder / "own" / name / "results")
    for pid in range(1, 9):
        for number in range(4):
            builders.save(folder / "people" / f"person {pid}" / f"{pid}-{number}.jpg", (24, 48))
    for pid, camid, number in product(range(1, 9), (1, 2), range(2)):
        builders.save(folder / "own" / "shop" / f"{pid}_{camid}_{number}.jpg", (24, 48))
    rng = np.random.default_rng(0)
    for name in "qg":
        features = {"features": rng.normal(size=(12, 8)).astype(np.float32), "pids": np.arange(12) // 2 + 1}
        np.savez(folder / "own" / f"{name}.npz", camids=np.full(12, 1 + (name == "g")), **features)
        np.save(folder / "own" / f"{name}.npy", features["features"])
        if name == "g":
            for shard in range(3):
                mine = {column: values[4 * shard : 4 * shard + 4] for column, values in features.items()}
                np.savez(folder / "own" / f"shard{shard}.npz", camids=np.full(4, 2), **mine)
    sides = [word for name in ("query", "gallery") for word in (f"--{name}", str(folder / "own" / f"{name[0]}.npz"))]
    assert invoke(["evaluate", *sides, "--name", "mine", "-o", str(folder / "own" / "results" / "mine.json")]) == 0
    rows = [f"{row // 2 + 1},{1 + (role == 'gallery')},1,{role}" for role in ("query", "gallery") for row in range(12)]
    (folder / "own" / "meta.csv").write_text("\n".join(["pid,camid,rate,role", *rows]) + "\n")
    return folder


@pytest.fixture(scope="session")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder into which the plugins ``my-aligner``, ``my-backbone`` and so on are installed."""
    folder = tmp_path_factory.mktemp("plugins")
    for kind in KINDS:
        assert invoke(["plugins", "new", f"my-{kind}", "--kind", kind, "-o", str(folder / f"my-{kind}")]) == 0
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    made = [str(folder / f"my-{kind}") for kind in KINDS]
    subprocess.run([*pip, "--target", str(folder / "site"), *made], check=True)
    return folder / "site"


@pytest.fixture
def reader(belongings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the reader sits, who has the belongings there and ``people`` at home."""
    copytree(belongings / "own", tmp_path, dirs_exist_ok=True)
    copytree(belongings / "people", tmp_path / "home" / "people")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def install(plugins: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """What installs the plugins for this process, instead of a ``pip install`` of one of them."""

    def now() -> None:
        monkeypatch.syspath_prepend(str(plugins))
        installed.cache_clear()

    yield now
    for kind in KINDS:
        sys.modules.pop(f"my_{kind}", None)
    installed.cache_clear()
