"""``crbench plugins new``: each kind from nothing to the board, as its README says, and names that cannot be."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import builders
import pytest

from crbench.api.entry import KINDS
from crbench.cli import invoke
from crbench.testing import checks_for


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a new package of each kind, all installed in the folder ``site``."""
    folder = tmp_path_factory.mktemp("new")
    for kind in KINDS:
        assert invoke(["plugins", "new", f"my-{kind}", "--kind", kind, "-o", str(folder / f"my-{kind}")]) == 0
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    packages = [str(folder / f"my-{kind}") for kind in KINDS]
    subprocess.run([*pip, "--target", str(folder / "site"), *packages], check=True)
    return folder


@pytest.fixture
def call(made, tmp_path):
    """Run a module of Python that sees the packages; gives its output."""

    def run(*arguments):
        paths = os.pathsep.join([str(made / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])
        command = [sys.executable, "-W", "error", "-m", *arguments]
        environment = {**os.environ, "PYTHONPATH": paths}
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_their_own_tests_are_one_for_each_rule_and_pass(call, made):
    folders = [str(made / f"my-{kind}") for kind in KINDS]
    shown = call("pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(made), *folders)
    assert f"{sum(len(checks_for(kind)) for kind in KINDS)} passed" in shown


def test_they_are_listed_and_ranked_together(call, tmp_path):
    records = {record["name"]: record for record in json.loads(call("crbench", "plugins", "--format", "json"))}
    assert all((records[f"my-{kind}"]["kind"], records[f"my-{kind}"]["status"]) == (kind, "ok") for kind in KINDS)
    for pid in range(1, 9):
        for camid in (1, 2):
            builders.save(tmp_path / "data" / "my-dataset" / f"{pid:04d}_c{camid}_0.png")
    assert "sound" in call("crbench", "data", "verify", "my-dataset")
    methods = ["--dataset", "my-dataset", "--backbone", "my-backbone", "--aligner", "my-aligner"]
    rules = ["--set", "protocol.distance=my-distance", "--set", "protocol.shot=multi"]
    board = call("crbench", "run", *methods, *rules, "--format", "csv")
    assert all(text in board for text in ("my-dataset", "my-backbone", "my-aligner", "my-metric"))


def test_the_package_says_how_to_go_on(made, capsys, tmp_path):
    assert invoke(["plugins", "new", "far-sight", "--kind", "aligner"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "far-sight\n"
    assert f"pip install -e '{tmp_path / 'far-sight'}[test]' && pytest far-sight" in shown.err
    assert "crbench run --aligner far-sight --dataset mlr-synthetic" in shown.err
    readme = (tmp_path / "far-sight" / "README.md").read_text(encoding="utf-8")
    assert "An aligner for [crbench]" in readme
    assert "crbench plugins check far-sight" in readme


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("My Shift", "aligner", "entry name 'My Shift' is not kebab-case"),
        ("../up", "aligner", "is not kebab-case"),
        ("score", "metric", "metric name 'score' is not one like mAP or first-tier"),
        ("class", "aligner", "'class' cannot be the name of a Python module"),
        ("3d", "aligner", "'3d' cannot be the name of a Python module"),
        ("ridge", "aligner", "aligner 'ridge' is offered by crbench"),
        ("cosine", "distance", "distance 'cosine' is crbench's own; choose another name"),
        ("torch", "aligner", "a module 'torch' is installed already"),
        ("long" * 75, "aligner", "has a name of 300 characters; expected at most 100"),
    ],
)
def test_names_that_cannot_be(name, kind, message, capsys, tmp_path):
    assert invoke(["plugins", "new", name, "--kind", kind]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over(capsys, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    assert invoke(["plugins", "new", "my-shift", "--kind", "aligner", "-o", "mine"]) == 2
    assert "mine is not an empty folder; nothing was written" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
