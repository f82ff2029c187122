"""What the project says of itself is true."""

from __future__ import annotations

import pkgutil
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import crbench
from crbench.api import hooks
from crbench.api.entry import KINDS
from crbench.cli import invoke
from crbench.cli.guard import EXIT_CODES, SIGNAL_BASE, SIGNALS
from crbench.errors import CrbenchError
from crbench.protocol import EVALUATION_VERSION
from crbench.testing import check_aligner

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
GUIDES = "\n".join(path.read_text(encoding="utf-8") for path in PAGES)
"""All that is written for people, but for the READMEs of plugins and the CHANGELOG."""


def test_ci_calls_the_readmes_test_command():
    command = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-1]
    assert command in README
    assert command in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_every_hook_is_documented_and_tested():
    names = [name for name in vars(hooks) if name.startswith("crbench_")]
    assert sorted(names) == sorted(f"crbench_{kind}s" for kind in KINDS)
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


def test_the_map_names_what_is_there():
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rooms = contributing[contributing.index("## Where things live") : contributing.index("One run:")]
    paths = re.findall(r"`((?:crbench|plugins|benchmarks|tests|docs)/[^` ]*)`", contributing)
    assert [path for path in paths if not list(ROOT.glob(path.rstrip("/")))] == []
    packages = {f"crbench/{path.parent.name}/" for path in (ROOT / "crbench").glob("*/__init__.py")}
    assert [name for name in sorted(packages) if name not in rooms] == []


def test_the_readmes_aligner_is_the_packaged_one_and_keeps_its_contract():
    (example,) = re.findall(r"```python\n(import attrs.*?)```", README, flags=re.DOTALL)
    packaged = ROOT / "tests" / "plugins" / "mean-shift-plugin" / "shrunk_shift.py"
    assert example == packaged.read_text(encoding="utf-8")
    (project,) = re.findall(r"```toml\n(\[build-system\].*?)```", README, flags=re.DOTALL)
    assert project == packaged.with_name("pyproject.toml").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    exec(example, names)
    (entry,) = names["crbench_aligners"]()
    check_aligner(entry.target)


def test_names_of_crbench_in_the_guides_exist():
    for path in (*PAGES, *ROOT.glob("plugins/*/README.md")):
        for name in re.findall(r"`(crbench(?:\.[A-Za-z_]+)+)(?:\([^`]*\))?`", path.read_text(encoding="utf-8")):
            assert pkgutil.resolve_name(name) is not None, (path, name)


def test_exit_codes_are_documented(capsys):
    assert set(EXIT_CODES) == set(CrbenchError.__subclasses__())
    assert invoke(["--help"]) == 0
    shown = capsys.readouterr().out
    for code in {*EXIT_CODES.values(), *(SIGNAL_BASE + number for number in SIGNALS), SIGNAL_BASE + 13}:
        assert re.search(rf"\b{code}\s+\w", shown)
    table = (ROOT / "docs" / "runs.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d[\d, ]*) \|", table, flags=re.MULTILINE)
    known = {0, *EXIT_CODES.values(), *(SIGNAL_BASE + number for number in SIGNALS), SIGNAL_BASE + 13}
    assert sorted(int(code) for row in rows for code in row.split(",")) == sorted(known)


@pytest.mark.parametrize(
    "page", [*PAGES, *ROOT.glob("plugins/*/README.md")], ids=lambda page: str(page.relative_to(ROOT))
)
def test_what_the_guides_link_to_is_there(page):
    linked = re.findall(r"\]\((?!http|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [path for path in linked if not (page.parent / path).exists()] == []


def test_the_version_has_one_place():
    assert crbench.__version__ in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert not re.search(r"^version", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_the_tables_of_the_readme_are_those_of_this_evaluation():
    rules = re.findall(r"^p:mlr\|.*\|v(\d+)$", README, flags=re.MULTILINE)
    assert rules
    assert set(map(int, rules)) == {EVALUATION_VERSION}
