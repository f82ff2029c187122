"""Strangers' packages, built and installed by pip, found by their entry points; broken ones beside them."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parents[1] / "plugins"
PACKAGES = (
    "mean-shift-plugin",
    "first-tier-metric",
    "broken-import",
    "broken-exit",
    "broken-hook",
    "broken-construction",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the packages installed."""
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(folder), *(str(HERE / name) for name in PACKAGES)], check=True)
    return folder


@pytest.fixture
def crbench(site, tmp_path):
    """Run the command line in a process of its own that sees the packages."""

    def call(*arguments):
        paths = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
        folders = {f"CRBENCH_{name}": str(tmp_path / name) for name in ("DATA", "CACHE", "WEIGHTS")}
        return subprocess.run(
            [sys.executable, "-m", "crbench", *arguments],
            env={**os.environ, "PYTHONPATH": paths, **folders},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    return call


def test_a_strangers_method_is_short():
    assert len((HERE / "mean-shift-plugin" / "shrunk_shift.py").read_text().splitlines()) < 30


def test_all_are_listed_with_what_ails_them(crbench):
    done = crbench("plugins", "--format", "json")
    assert done.returncode == 0
    records = {record["name"]: record for record in json.loads(done.stdout)}
    assert records["shrunk-shift"]["distribution"] == "crbench-shrunk-shift"
    assert records["shrunk-shift"]["version"] == "1.2.3"
    assert records["broken-import"]["error"] == "import: ImportError: no module named 'a_library_that_moved'"
    assert records["broken-exit"]["error"] == "import: SystemExit: licence expired"
    assert "checking the licence" in done.stderr, "and not in the JSON"
    assert records["broken-hook"]["error"] == "hook: RuntimeError: the hook failed"
    assert records["fragile"]["status"] == "ok", "a constructor fails only when it is called"
    assert records["vpfa"]["status"] == "ok"


def test_a_strangers_method_runs_and_is_ranked(crbench):
    small = ["--set", "dataset.train_identities=4", "--set", "dataset.test_identities=3", "--set", "backbone.epochs=1"]
    done = crbench("run", "--dataset", "mlr-synthetic", "--aligner", "shrunk-shift", "--trial", "0-1", *small)
    assert done.returncode == 0, done.stderr
    assert "shrunk-shift" in done.stdout
    board = crbench("leaderboard", "--format", "csv")
    assert "shrunk-shift" in board.stdout


def test_a_strangers_score_is_short():
    assert len((HERE / "first-tier-metric" / "first_tier.py").read_text().splitlines()) < 20


def test_a_strangers_score_appears_everywhere(crbench, tmp_path):
    rng = np.random.default_rng(0)
    for name, count in (("q", 6), ("g", 40)):
        np.savez(tmp_path / f"{name}.npz", features=rng.normal(size=(count, 4)), pids=rng.integers(0, 5, count))
    sides = ("evaluate", "--query", "q.npz", "--gallery", "g.npz")
    table = crbench(*sides, "--per-query", "queries.csv")
    assert "first-tier" in table.stdout, table.stderr
    value = json.loads(crbench(*sides, "--format", "json").stdout)["first-tier"]
    assert f"{100 * value:.2f}" in table.stdout
    rows = list(csv.DictReader((tmp_path / "queries.csv").read_text().splitlines()))
    assert np.mean([float(row["first-tier"]) for row in rows if row["first-tier"]]) == pytest.approx(value)
    listed = {record["name"]: record for record in json.loads(crbench("plugins", "--format", "json").stdout)}
    assert (listed["first-tier"]["kind"], listed["first-tier"]["distribution"]) == ("metric", "crbench-first-tier")

    small = ["--set", "dataset.train_identities=4", "--set", "dataset.test_identities=3", "--set", "backbone.epochs=1"]
    cell = ["run", "--dataset", "mlr-synthetic", "--trial", "0", *small, "--set", "protocol.shot=multi"]
    done = crbench(*cell, "--aligner", "mean-shift")
    assert done.returncode == 0, done.stderr
    assert "first-tier ↑" in done.stdout
    (content, *_) = [json.loads(path.read_text()) for path in tmp_path.glob("results/*/*/*.json")]
    assert set(content["trials"][0]["scores"]) == {"mAP", "mINP", "first-tier"}
    facts = content["metric_facts"]["first-tier"]
    assert re.fullmatch("[0-9a-f]{64}", facts.pop("code_sha256"))
    assert facts == {
        "higher_is_better": True,
        "unit": "fraction",
        "summary": "share of the P matches among the P nearest",
        "distribution": "crbench-first-tier",
        "version": "0.4",
    }
    assert "first-tier" in content["metrics"]
    board = json.loads(crbench("leaderboard", "--format", "json").stdout)
    assert all("first-tier" in row for block in board["blocks"] for row in block["rows"])
    assert "first-tier,first-tier_std" in crbench("leaderboard", "--format", "csv").stdout


def test_asking_for_a_broken_one_names_its_owner_and_error(crbench):
    built = crbench("run", "--dataset", "mlr-synthetic", "--aligner", "fragile")
    assert built.returncode == 4
    assert "crbench-broken-construction 0.0.1" in built.stderr
    assert "the constructor failed" in built.stderr
    hidden = crbench("run", "--dataset", "mlr-synthetic", "--aligner", "broken-hook")
    assert hidden.returncode == 4
    assert "the hook failed" in hidden.stderr


def test_strict_stops_at_the_first(crbench):
    done = crbench("plugins", "--strict-plugins")
    assert done.returncode == 4
    assert "failed at" in done.stderr


def test_a_strangers_method_is_checked_and_shown(crbench):
    done = crbench("plugins", "check", "shrunk-shift", "--set", "aligner.shrink=0.25", "--format", "json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert {row["result"] for row in rows} == {"ok"}
    assert {"companions", "zero-features", "widths", "global-state"} < {row["check"] for row in rows}
    shown = crbench("plugins", "show", "shrunk-shift")
    assert "aligner shrunk-shift, of crbench-shrunk-shift 1.2.3" in shown.stdout
    assert re.search(r"^shrink +float +0.5", shown.stdout, flags=re.MULTILINE)
    assert crbench("plugins", "check", "first-tier").returncode == 0
    broken = crbench("plugins", "check", "fragile")
    assert (broken.returncode, broken.stdout) == (4, "")
    assert "the constructor failed" in broken.stderr
