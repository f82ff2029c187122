"""What the project says of itself is true."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pluggy
import pytest

import crbench
from crbench.api import hooks
from crbench.cli import EXIT_CODES, INTERRUPTED, invoke
from crbench.errors import CrbenchError
from crbench.protocol import EVALUATION_VERSION

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_ci_calls_the_readmes_test_command():
    command = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-1]
    assert command in README
    assert command in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_every_hook_is_documented_and_tested():
    names = [name for name in vars(hooks) if name.startswith("crbench_")]
    manager = pluggy.PluginManager(hooks.GROUP)
    manager.add_hookspecs(hooks)
    assert (
        sorted(names)
        == sorted(vars(manager.hook))
        == [f"crbench_{kind}s" for kind in ("aligner", "backbone", "dataset", "distance", "metric")]
    )
    tests = (ROOT / "tests" / "registry" / "test_discovery.py").read_text(encoding="utf-8")
    for hook in names:
        assert hook in README
        assert hook in tests
        assert getattr(hooks, hook).__doc__


def test_the_packages_of_the_wheel_are_the_plugins():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    folders = {f"plugins/{path.name}" for path in (ROOT / "plugins").iterdir() if (path / "__init__.py").exists()}
    assert packages == {"crbench"} | folders
    modules = set(project["project"]["entry-points"]["crbench"].values())
    assert modules == {folder.removeprefix("plugins/") for folder in folders}


def test_exit_codes_are_documented(capsys):
    assert set(EXIT_CODES) == set(CrbenchError.__subclasses__())
    assert invoke(["--help"]) == 0
    shown = capsys.readouterr().out
    for code in {*EXIT_CODES.values(), INTERRUPTED}:
        assert re.search(rf"\b{code} \w", shown)
        assert f"| {code} |" in README


def commands():
    blocks = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return sorted({line for line in lines if line.startswith("crbench ")})


@pytest.mark.parametrize("line", commands())
def test_commands_of_the_readme_parse(line):
    from crbench.cli import crbench as group

    words = shlex.split(line.partition("#")[0].partition(">")[0])[1:]
    command, arguments = group, words
    while arguments and hasattr(command, "get_command") and command.get_command(None, arguments[0]):
        command, arguments = command.get_command(None, arguments[0]), arguments[1:]
    assert command is not group
    command.make_context(words[0], list(arguments), resilient_parsing=False)


def test_python_examples_of_the_readme_run(tmp_path):
    (example,) = re.findall(r"```python\n(# A notebook.*?)```", README, flags=re.DOTALL)
    environment = {f"CRBENCH_{name}": str(tmp_path / name) for name in ("DATA", "CACHE", "WEIGHTS")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example],
        cwd=tmp_path,
        env={"PYTHONPATH": ":".join(sys.path), "HOME": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_version_has_one_place():
    assert crbench.__version__ in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert not re.search(r"^version", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_the_tables_of_the_readme_are_those_of_this_evaluation():
    rules = re.findall(r"^p:mlr\|.*\|v(\d+)$", README, flags=re.MULTILINE)
    assert rules
    assert set(map(int, rules)) == {EVALUATION_VERSION}
