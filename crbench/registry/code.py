"""The code behind an entry, as a digest: what tells a changed method from the one that was run before.

A version says what its author remembered to say; the files say what runs. The digest covers each top-level package that
an entry's target comes from or that the entry names, found without importing it, so that editable installs, plugins of
one module and namespace packages work alike.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import re
import site
import sysconfig
from collections.abc import Collection, Iterable, Iterator, Mapping
from importlib.machinery import BYTECODE_SUFFIXES, ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs

from crbench.api.entry import Entry
from crbench.api.metric import Metric

_NOT_CODE = re.compile(r"\..*|.*~|__pycache__|(README|CHANGELOG|LICENSE)(\..*)?", re.IGNORECASE)
"""Names of files and folders in a package that change while its code does not, or that no code reads."""


def code_sha256(offer: Entry | Metric) -> str | None:
    """SHA-256 of the code behind an entry, 64 hex digits; None where there is no source to read.

    It is the digest of sorted (path, content) of all files of the packages, with paths that begin with the package's
    name. Data files count, as a table or a configuration decides what a method does as its source does. Bytecode,
    hidden files and documents do not, as they may differ where the code is the same.

    What these packages import counts too, as far as it is no installed package: helpers beside a module on the path, or
    in a repository that is installed editable, change from day to day. Installed ones have a version, and count where
    the entry names them.

    There is no source in a zip file, in bytecode, in an extension module alone, or in ``__main__``. Nor is there any
    once a file has changed since the first call: what this process imported may be the code before or, in a notebook
    that reloads modules, the one after.
    """
    names = {_top_level(offer.target), *(offer.code if isinstance(offer, Entry) else ())}
    read = None if None in names else _read(tuple(sorted(map(str, names))))
    return None if read is None or _states(read.states) != read.states else read.sha256


@attrs.frozen
class _Code:
    """The digest of some files, and size and time of change of each when it was made."""

    sha256: str
    states: Mapping[Path, tuple[int, int] | None]


def _states(files: Iterable[Path]) -> Mapping[Path, tuple[int, int] | None]:
    """None for a file that is not there."""

    def state(path: Path) -> tuple[int, int] | None:
        try:
            status = path.stat()
        except OSError:
            return None
        return status.st_size, status.st_mtime_ns

    return {path: state(path) for path in files}


@functools.cache
def _read(packages: tuple[str, ...]) -> _Code | None:
    files: dict[str, Path] = {}
    left, seen = list(packages), {"crbench"}  # of which version constants tell what counts
    installed = _installed_folders()
    hasher = hashlib.sha256()
    try:
        while left:
            package = left.pop()
            seen.add(package)
            found = dict(_files(package))
            if not found:
                return None
            files |= found
            left += [name for name in _imported(found.values()) - seen if _is_in_development(name, installed)]
        states = _states(files.values())
        for name, path in sorted(files.items()):
            content = path.read_bytes()
            hasher.update(f"{name}\0{len(content)}\0".encode())
            hasher.update(content)
    except OSError:
        return None
    return _Code(hasher.hexdigest(), states)


def _imported(files: Iterable[Path]) -> set[str]:
    """The top-level packages that files of Python name in their imports, those of other files than modules too."""
    names: list[str] = []
    for path in files:
        if path.suffix != ".py":
            continue
        try:
            nodes = list(_statements(ast.parse(path.read_bytes())))
        except (SyntaxError, ValueError):  # a template, or of another Python
            continue
        names += [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
        names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    return {name.partition(".")[0] for name in names} - {""}


def _statements(module: ast.Module) -> Iterator[ast.AST]:
    """All statements of a module, however deep; expressions are left out, as nothing is imported in any."""
    left: list[ast.AST] = [module]
    while left:
        node = left.pop()
        yield node
        for block in ("body", "handlers", "cases", "orelse", "finalbody"):
            left += getattr(node, block, ())


def _is_in_development(package: str, installed: Collection[Path]) -> bool:
    """Whether a package lies elsewhere than installed ones and Python's own, which change with a version.

    Args:
        installed: folders of these.
    """
    spec = _spec(package)
    if spec is None or not (spec.has_location or spec.submodule_search_locations):
        return False
    places = [Path(place).resolve() for place in spec.submodule_search_locations or [spec.origin or ""]]
    return not any(place.is_relative_to(folder) for place in places for folder in installed)


def _installed_folders() -> frozenset[Path]:
    """Where Python and installed packages lie."""
    named = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return frozenset(Path(one).resolve() for one in (*named, *site.getsitepackages(), site.getusersitepackages()))


def _top_level(target: object) -> str | None:
    """The top-level package of a target; None where it cannot be told."""
    if isinstance(target, str):
        return target.partition(":")[0].partition(".")[0]
    while isinstance(target, functools.partial):
        target = target.func
    made: Any = target if inspect.isclass(target) or inspect.isroutine(target) else type(target)
    name: str = getattr(made, "__module__", None) or ""
    return name.partition(".")[0] or None


def _files(package: str) -> Iterator[tuple[str, Path]]:
    """The files of a top-level package or module, each with its path as the digest has it; none = no source."""
    spec = _spec(package)
    if spec is None:
        return
    if spec.submodule_search_locations is None:
        path = Path(spec.origin or "")
        if spec.has_location and path.suffix == ".py" and path.is_file():
            yield path.name, path
        return
    found = [
        ("/".join((package, *parts)), path)
        for folder in map(Path, spec.submodule_search_locations)
        for path in folder.rglob("*")
        if not any(map(_NOT_CODE.fullmatch, parts := path.relative_to(folder).parts)) and path.is_file()
    ]
    suffixes = {path.suffix for _, path in found}
    if ".py" in suffixes and suffixes.isdisjoint(BYTECODE_SUFFIXES):
        yield from found


def _spec(package: str) -> ModuleSpec | None:
    try:
        return find_spec(package)
    except (ImportError, ValueError):  # ValueError: a module without a spec, such as __main__
        return None
