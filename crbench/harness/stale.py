"""Which entries of a cache no run can ask for any more: their key is of another format, or of code that is gone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from crbench.api.entry import Kind
from crbench.harness.identity import EXTRACTION_VERSION, PAIRING_VERSION
from crbench.protocol.hashing import digest
from crbench.registry.code import code_sha256
from crbench.registry.discovery import installed
from crbench.store.features import HEADER
from crbench.store.tensors import DamagedFileError, open_tensors
from crbench.store.upkeep import feature_folders, fit_files


def stale_entries(root: Path) -> Iterator[Path]:
    """Folders of features and files of fits below the cache folder `root` that can no longer be asked for.

    They are of another version of crbench's own part, or were made by code that is not what is installed now. Damaged
    files are not looked at; ``--bad`` finds them.
    """
    for folder in feature_folders(root):
        if _stale_features(_header(folder), folder.name):
            yield folder
    for path in fit_files(root):
        try:
            made_by = open_tensors(path).facts.get("made_by", {})
        except DamagedFileError:
            continue
        origin = made_by.get("features", {})
        if (
            made_by.get("version") != PAIRING_VERSION
            or _gone("aligner", made_by["aligner"])
            or _stale_features(origin, digest(origin))
        ):
            yield path


def _header(folder: Path) -> Mapping[str, Any]:
    try:
        return dict(json.loads((folder / HEADER).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return {}


def _stale_features(origin: Mapping[str, Any], name: str) -> bool:
    """Whether features of this origin, in a folder of this name, are stale; looked-up ones have no version."""
    if digest(origin) != name or "backbone" not in origin or _gone("backbone", origin["backbone"]):
        return True
    return "preprocess" in origin and (
        origin.get("version") != EXTRACTION_VERSION or origin.get("reading") not in _codes("dataset")
    )


def _gone(kind: Kind, identity: Mapping[str, Any]) -> bool:
    name = str(identity.get("name")).partition("/")[0]
    return identity.get("code") not in _codes(kind, name)


def _codes(kind: Kind, name: str | None = None) -> set[str | None]:
    """The code of all entries of a kind, or of those with a name."""
    entries = [item.entry for item in installed().entries if item.kind == kind]
    return {code_sha256(entry) for entry in entries if name in (None, entry.name)}
