"""Maintenance of a cache folder: list its entries, find damaged files, delete what is old."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs

from crbench.config.paths import weights_root
from crbench.store.features import HEADER
from crbench.store.tensors import DamagedFileError, open_tensors

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
    folders = sorted(path for path in root.glob("features/*") if path.is_dir())
    return [_features_entry(folder) for folder in folders] + [
        _entry(path, path.stem.rpartition("-")[0], [path], 0) for path in fit_files(root)
    ]


def fit_files(root: Path) -> list[Path]:
    """The files of fitted transforms, then those of fits that were stopped, sorted."""
    return [path for folder in ("transforms", "fits") for path in sorted(root.glob(f"{folder}/*.safetensors"))]


def damaged_files(files: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """Those of `files` that cannot be read or whose content is not what was written, with the reason."""
    for path in files:
        try:
            open_tensors(path).check()
        except DamagedFileError as error:
            yield path, str(error.reason)


def stored_files(root: Path) -> list[Path]:
    """All tensor files of a cache folder, then the weights that were trained here; sorted."""
    cached = sorted(root.glob("features/*/*.safetensors"))
    return cached + fit_files(root) + sorted((weights_root() / "trained").glob("*.safetensors"))


def prune_cache(
    root: Path, *, older_than_days: float | None = None, bad: bool = False, stale: Iterable[Path] = ()
) -> list[Path]:
    """Delete entries that have not changed for some days, damaged files (see `stored_files`), and those named.

    Args:
        stale: entries that go whatever their age.

    Returns:
        What went.
    """
    gone = list(stale)
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
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
        path.with_suffix(".json").unlink(missing_ok=True)  # the card, which is nothing without its weights


def _features_entry(folder: Path) -> CacheEntry:
    from safetensors import SafetensorError, safe_open

    files = sorted(folder.glob("*.safetensors"))
    rows = 0
    for path in files:
        try:
            with safe_open(path, framework="pt") as file:
                rows += file.get_slice("ids").get_shape()[0]
        except (SafetensorError, OSError):
            continue  # `damaged_files` names it
    header = folder / HEADER
    name = json.loads(header.read_text(encoding="utf-8"))["backbone"]["name"] if header.exists() else "?"
    return _entry(folder, name, [*files, header] if header.exists() else files, rows)


def _entry(path: Path, what: str, files: list[Path], rows: int) -> CacheEntry:
    stats = [file.stat() for file in files]
    newest = max((stat.st_mtime for stat in stats), default=path.stat().st_mtime)
    return CacheEntry(
        path=path,
        what=what,
        files=len(files),
        rows=rows,
        bytes=sum(stat.st_size for stat in stats),
        days=(time.time() - newest) / _DAY,
    )
