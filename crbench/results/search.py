"""Which files are records of crbench: those that are named, and those in folders, where other files may lie too."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import attrs

from crbench.errors import DataError
from crbench.inputs import read_input

BENCH_SUFFIX = ".bench.json"
"""Ends the name of a benchmark that a run wrote beside a result; a folder of results may hold such files."""

_SHOWN = 10
"""Files left out whose reason is said; of further ones the name is."""

_log = logging.getLogger(__name__)

T = TypeVar("T")


@attrs.frozen
class Found:
    """A file that may be a record.

    Attributes:
        named: the user named this file, not a folder that it lies in, and so says that it is one.
    """

    path: Path
    named: bool


def result_files(paths: Iterable[str | Path]) -> list[Found]:
    """The files that may be results.

    Args:
        paths: files, or folders that are searched for ``*.json`` at any depth (without hidden files, and without the
            benchmarks that a run wrote, ``*.bench.json``).

    Raises:
        DataError: a path does not exist.
    """
    found = record_files(paths, "`crbench run` writes results to the folder `results`")
    return [file for file in found if file.named or not file.path.name.endswith(BENCH_SUFFIX)]


def no_results(paths: Iterable[str | Path]) -> DataError:
    """The error to raise where files were asked for and none is there: a name that was mistyped should not pass."""
    return DataError(f"no results in {', '.join(map(str, paths))}; `crbench run --dataset mlr-synthetic` makes some")


def record_files(paths: Iterable[str | Path], hint: str) -> list[Found]:
    """The files that are named, and the JSON files in folders that are, but for hidden ones; each once.

    Args:
        hint: says how such files are made.

    Raises:
        DataError: a path does not exist.
    """
    places = tuple(map(Path, paths))
    named = set(places)
    files: dict[Path, Found] = {}
    for path in places:
        if not path.exists():
            raise DataError(f"{path}: no such file or folder; {hint}")
        for file in _json_files(path) if path.is_dir() else [path]:
            files.setdefault(file, Found(file, file in named))
    return list(files.values())


def read_each(files: Iterable[Found], read: Callable[[Path], T], *, strict: bool = False) -> list[T]:
    """What `read` gives of each file that is such a record.

    A folder may hold tables, logs and settings of other programs, and files that a crash or an editor damaged. They
    hide no record: a warning lists them all.

    Args:
        read: raises a `DataError` that begins with the name of the file.
        strict: refuse such files in place of leaving them out.

    Raises:
        DataError: a file that was named is none; with `strict`, any.
    """
    records, others = [], []
    for file in files:
        try:
            records.append(read(file.path))
        except DataError as error:
            if file.named:
                raise
            others.append((file.path, error))
    if strict and others:
        more = f"; {len(others) - 1} more: {_names(others[1:])}" if others[1:] else ""
        raise DataError(f"{others[0][1]}{more}")
    for _, reason in others[:_SHOWN]:
        _log.warning("left out: %s", reason)
    if others[_SHOWN:]:
        _log.warning("left out, %d more: %s", len(others) - _SHOWN, _names(others[_SHOWN:]))
    return records


def read_text(file: Path, kind: str) -> str:
    """The text of a JSON file in UTF-8, UTF-16 or UTF-32, with a byte order mark or without.

    Args:
        kind: what the file should be, for messages.

    Raises:
        DataError: it cannot be read.
    """
    if file.exists() and not file.is_file():  # a FIFO would be waited for
        raise DataError(f"{file}: cannot be read as a {kind} (it is no regular file)")
    try:
        content = read_input(file)
        return content.decode(json.detect_encoding(content))
    except OSError as error:
        raise DataError(f"{file}: cannot be read as a {kind} ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        record = file.with_suffix(".json")  # outcomes lie beside the result that they are of
        meant = f"; did you mean {record.name}?" if record != file and record.is_file() else ""
        raise DataError(f"{file}: cannot be read as a {kind}: it is no text{meant}") from error


def _json_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*.json") if not file.name.startswith(".") and not file.is_dir())


def _names(others: Iterable[tuple[Path, DataError]]) -> str:
    return ", ".join(str(path) for path, _ in others)
