"""Maintenance of a cache folder: list its entries, find damaged files, delete what is old."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import attrs

from crbench.config.paths import weights_root
from crbench.store.features import HEADER
from crbench.store.temporaries import delete_temporary, temporary_in
from crbench.store.tensors import DamagedFileError, open_tensors, tensor_files

_DAY = 86_400


@attrs.frozen
class CacheEntry:
    """The features of one backbone, one fitted transform, or the state of a fit that was stopped.

    Attributes:
        path: a folder of features, or a file.
        what: name of the backbone or of the aligner.
        rows: images with features; 0 for a transform.
        days: since the last change.
    """

    path: Path
    what: str
    files: int
    rows: int
    bytes: int
    days: float


def list_cache(root: Path) -> list[CacheEntry]:
    """All entries, features first, sorted by path."""
    return [_features_entry(folder) for folder in feature_folders(root)] + [
        _entry(path, path.stem.rpartition("-")[0], [path], 0) for path in fit_files(root)
    ]


def feature_folders(root: Path) -> list[Path]:
    """The folders of features of one backbone each, sorted; without those that are being deleted."""
    return sorted(path for path in root.glob("features/*") if path.is_dir() and not path.name.startswith("."))


def fit_files(root: Path) -> list[Path]:
    """The files of fitted transforms, then those of fits that were stopped, sorted."""
    return [path for folder in ("transforms", "fits") for path in tensor_files(root / folder)]


def damaged_files(files: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """Those of `files` that cannot be read or whose content is not what was written, with the reason."""
    for path in files:
        try:
            open_tensors(path).check()
        except DamagedFileError as error:
            if path.exists():  # or a job beside has deleted or replaced it
                yield path, str(error.reason)


def stored_files(root: Path) -> list[Path]:
    """All tensor files of a cache folder, then the weights that were trained here; sorted."""
    cached = [path for folder in feature_folders(root) for path in tensor_files(folder)]
    return cached + fit_files(root) + sorted((weights_root() / "trained").glob("*.safetensors"))


def prune_cache(
    root: Path, *, older_than_days: float | None = None, bad: bool = False, named: Iterable[Path] = ()
) -> list[Path]:
    """Delete entries that have not changed for some days, damaged files (see `stored_files`), and those named.

    Runs that use the cache meanwhile are not harmed: what they have read stays readable to them, and what they lack is
    computed anew.

    Args:
        older_than_days: by the clock of this machine; an entry that is of the future by it counts as new.
        named: entries that go whatever their age.

    Returns:
        What went.
    """
    gone = list(named)
    for path in gone:
        _delete(path)
    if bad:
        for path, _ in list(damaged_files(stored_files(root))):
            _delete(path)
            gone.append(path)
    if older_than_days is not None:
        for entry in list_cache(root):
            if entry.days >= older_than_days:
                _delete(entry.path)
                gone.append(entry.path)
    return gone


def _delete(path: Path) -> None:
    if path.suffix != ".safetensors":  # a folder, whether or not it is there at this moment
        # Renamed before it is deleted, as a run may be writing into it. If this process is killed in between, the next
        # one deletes what is left.
        aside = temporary_in(path.parent)
        with suppress(FileNotFoundError):
            path.rename(aside)
        delete_temporary(aside)
    else:
        path.unlink(missing_ok=True)
        path.with_suffix(".json").unlink(missing_ok=True)  # the card, which is nothing without its weights


def _features_entry(folder: Path) -> CacheEntry:
    from safetensors import SafetensorError, safe_open

    files = tensor_files(folder)
    rows = 0
    for path in files:
        try:
            with safe_open(path, framework="pt") as file:
                rows += file.get_slice("ids").get_shape()[0]
        except (SafetensorError, OSError):
            continue  # `damaged_files` reports it
    header = folder / HEADER
    try:
        name = json.loads(header.read_text(encoding="utf-8"))["backbone"]["name"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return _entry(folder, "?", files, rows)
    return _entry(folder, name, [*files, header], rows)


def _entry(path: Path, what: str, files: list[Path], rows: int) -> CacheEntry:
    stats = [status for file in files or [path] if (status := _status(file)) is not None]
    newest = max((status.st_mtime for status in stats), default=time.time())
    return CacheEntry(
        path=path,
        what=what,
        files=len(files),
        rows=rows,
        bytes=sum(status.st_size for status in stats) if files else 0,
        days=max(0.0, time.time() - newest) / _DAY,  # a clock may have run backwards
    )


def _status(path: Path) -> os.stat_result | None:
    """None for a file that a job beside has deleted."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None
