"""The digest of the code behind an entry: what changes it, what does not, and where there is none."""

from __future__ import annotations

import ast
import functools
import importlib
import py_compile
import site
import sys
import types
import zipfile
from pathlib import Path

import crbench_baselines
import pytest

from crbench.api.entry import KINDS, Entry
from crbench.registry import code
from crbench.registry.discovery import installed

METHOD = Entry("method", "code_of_test.inner.method:Method")


def sha256(entry=METHOD):
    """The digest as a new process finds it."""
    importlib.invalidate_caches()
    code._read.cache_clear()
    return code.code_sha256(entry)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with one module that fails at import."""
    folder = tmp_path / "site" / "code_of_test"
    (folder / "inner").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "inner" / "method.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(folder.parent)
    yield folder
    code._read.cache_clear()


def test_a_package_is_hashed_without_being_imported(package):
    assert len(sha256()) == 64
    assert not [name for name in sys.modules if name.startswith("code_of_test")]


@pytest.mark.parametrize("name", ["inner/method.py", "__init__.py", "inner/new.py", "table.json", "data/weights.bin"])
def test_any_file_of_the_package_changes_the_digest(package, name):
    before = sha256()
    path = package / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("another = 1")
    after = sha256()
    assert after != before
    path.rename(path.with_name("moved" + path.suffix))
    assert sha256() not in (before, after)


@pytest.mark.parametrize("name", ["__pycache__/method.cpython-311.pyc", ".hidden", ".git/HEAD", "README.md", "a.py~"])
def test_what_no_code_reads_changes_nothing(package, name):
    before = sha256()
    path = package / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("another")
    assert sha256() == before


def test_a_line_may_not_move_between_files(package):
    (package / "a.py").write_text("x = 1\ny = 2\n")
    (package / "b.py").write_text("")
    before = sha256()
    (package / "a.py").write_text("x = 1\n")
    (package / "b.py").write_text("y = 2\n")
    assert sha256() != before


def test_a_module_without_a_package_is_a_file(tmp_path, monkeypatch):
    path = tmp_path / "code_of_one.py"
    path.write_text("x = 1")
    monkeypatch.syspath_prepend(tmp_path)
    before = sha256(Entry("one", "code_of_one:Method"))
    path.write_text("x = 2")
    assert None is not sha256(Entry("one", "code_of_one:Method")) != before


def test_all_parts_of_a_namespace_package_count(tmp_path, monkeypatch):
    for part in ("a", "b"):
        (tmp_path / part / "code_of_many" / part).mkdir(parents=True)
        (tmp_path / part / "code_of_many" / part / "method.py").write_text("x = 1")
        monkeypatch.syspath_prepend(tmp_path / part)
    entry = Entry("many", "code_of_many.a.method:Method")
    before = sha256(entry)
    (tmp_path / "b" / "code_of_many" / "b" / "method.py").write_text("x = 2")
    assert None is not sha256(entry) != before


def test_packages_that_an_entry_names_count_too(package):
    (package.parent / "code_of_layers.py").write_text("x = 1")
    both = Entry("method", METHOD.target, code=("code_of_layers",))
    before, alone = sha256(both), sha256()
    (package.parent / "code_of_layers.py").write_text("x = 2")
    assert len({before, alone, sha256(both)}) == 3
    assert sha256() == alone
    (package.parent / "code_of_layers.py").unlink()
    assert sha256(both) is None


@pytest.mark.parametrize(
    "line", ["import code_of_help", "import os, code_of_help.x as y", "from code_of_help import x"]
)
def test_helpers_in_development_count_and_what_they_import_too(package, line):
    (package / "inner" / "method.py").write_text(f"def lazy():\n    {line}\n")
    (package.parent / "code_of_help.py").write_text("import code_of_more, code_of_test, torch, crbench")
    (package.parent / "code_of_more.py").write_text("x = 1")
    before = sha256()
    (package.parent / "code_of_more.py").write_text("x = 2")
    assert None is not sha256() != before
    (package / "inner" / "method.py").write_text("from . import code_of_help")
    alone = sha256()
    (package.parent / "code_of_help.py").write_text("x = 3")
    assert sha256() == alone


_BLOCKS = {
    "class": "class A:\n    async def f(self):\n        with x:\n            {}",
    "else": "for x in y:\n    pass\nelse:\n    {}",
    "elif": "if x:\n    pass\nelif y:\n    {}",
    "except": "try:\n    pass\nexcept ImportError:\n    {}",
    "finally": "try:\n    pass\nfinally:\n    {}",
    "group": "try:\n    pass\nexcept* ValueError:\n    {}",
    "case": "match x:\n    case [y]:\n        {}",
    "behind expressions": "f = (lambda: 1) if x else [y for y in z]\nwhile f:\n    {}",
}


@pytest.mark.parametrize("block", _BLOCKS.values(), ids=_BLOCKS.keys())
def test_imports_count_wherever_they_stand(package, block):
    (package / "inner" / "method.py").write_text(block.format("import code_of_help"))
    (package.parent / "code_of_help.py").write_text("x = 1")
    before = sha256()
    (package.parent / "code_of_help.py").write_text("x = 2")
    assert None is not sha256() != before


def test_installed_packages_count_by_their_version(package, tmp_path, monkeypatch):
    installed_there = tmp_path / "installed"
    installed_there.mkdir()
    monkeypatch.syspath_prepend(installed_there)
    monkeypatch.setattr(site, "getsitepackages", lambda: [str(installed_there)])
    (package / "inner" / "method.py").write_text("import code_of_release")
    (installed_there / "code_of_release.py").write_text("x = 1")
    before = sha256()
    (installed_there / "code_of_release.py").write_text("x = 2")
    assert sha256() == before


def test_names_of_packages_are_top_level_ones():
    with pytest.raises(ValueError, match=r"'my\.layers' is not the name of a top-level package"):
        Entry("method", METHOD.target, code=("my.layers",))


def test_a_class_and_a_function_stand_for_their_package():
    whole = sha256(Entry("none", "crbench_baselines.none:Anything"))
    assert whole == sha256(Entry("none", crbench_baselines.crbench_aligners))
    assert whole == sha256(Entry("none", functools.partial(crbench_baselines.crbench_aligners)))


def zipped(folder):
    with zipfile.ZipFile(folder / "code.zip", "w") as archive:
        archive.writestr("code_of_zip/__init__.py", "")
    return str(folder / "code.zip"), "code_of_zip:Method"


def bytecode(folder):
    source = folder / "source.py"
    source.write_text("x = 1")
    (folder / "code_of_bytes").mkdir()
    py_compile.compile(str(source), cfile=str(folder / "code_of_bytes" / "__init__.pyc"))
    (folder / "code_of_bytes" / "table.json").write_text("{}")
    return str(folder), "code_of_bytes:Method"


def partly_bytecode(folder):
    _, target = bytecode(folder)
    (folder / "code_of_bytes" / "shown.py").write_text("")
    return str(folder), target


def compiled(folder):
    (folder / f"code_of_machine{importlib.machinery.EXTENSION_SUFFIXES[0]}").write_bytes(b"\x7fELF")
    return str(folder), "code_of_machine:Method"


def missing(folder):
    return str(folder), "code_of_nobody:Method"


@pytest.mark.parametrize("place", [zipped, bytecode, partly_bytecode, compiled, missing])
def test_without_source_there_is_no_digest(tmp_path, monkeypatch, place):
    path, target = place(tmp_path)
    monkeypatch.syspath_prepend(path)
    assert sha256(Entry("method", target)) is None


def test_a_notebook_and_built_in_classes_have_no_source(monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
    assert sha256(Entry("method", "__main__:Method")) is None
    assert sha256(Entry("method", dict)) is None


def test_a_shipped_entry_names_every_other_plugin_that_it_builds_on():
    for item in (item for item in installed().entries if item.kind in KINDS[:4]):
        own = str(item.entry.target).partition(".")[0]
        folder = Path(__file__).parents[2] / "plugins" / own
        if own.startswith("crbench_") and (imported := others(folder, own)) and item.kind == "backbone":
            assert set(item.entry.code) == imported, item.entry.name
    assert others(Path(__file__).parents[2] / "plugins" / "crbench_lrar", "crbench_lrar") == {"crbench_timm"}


def others(folder, own):
    """Top-level packages of other plugins that the modules of a folder import."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found |= {name.partition(".")[0] for name in names}
    return {name for name in found if name.startswith("crbench_")} - {own}
