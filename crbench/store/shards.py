"""Parts of a sharded evaluation as npz files; nothing is pickled."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.errors import DataError
from crbench.evaluation.outcomes import Outcomes
from crbench.evaluation.shards import Part, Shard
from crbench.protocol import EvalProtocol
from crbench.records import Samples
from crbench.store.files import write_whole

_COLUMNS = ("keys", "pids", "camids", "rates")
_OUTCOMES = ("cmc", "ap", "inp", "valid")
_FACTS = ("features", "stream", "engine", "precision", "ambiguous", "version")


def save_part(path: Path, part: Part) -> None:
    """Write a part, whole.

    Raises:
        DataError: the file cannot be written.
    """
    facts = {name: getattr(part, name) for name in _FACTS}
    facts |= {"shard": attrs.asdict(part.shard), "protocol": attrs.asdict(part.protocol)}
    facts["unmatched_count"] = part.outcomes.unmatched_count
    arrays = {name: getattr(part.queries, name) for name in _COLUMNS}
    found = {name: getattr(part.outcomes, name) for name in _OUTCOMES}
    arrays |= {name: array for name, array in found.items() if array is not None}

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez(file, facts=np.array(json.dumps(facts)), **arrays)

    try:
        write_whole(path, write)
    except OSError as error:
        raise DataError(f"cannot write {path} ({error})") from error


def load_part(path: Path) -> Part:
    """A part from a file.

    Raises:
        DataError: no such file, or not a part.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        return _built(arrays)
    except (OSError, ValueError, TypeError, KeyError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path}: not a part of an evaluation, or cut short; expected what crbench evaluate --shard writes"
        ) from error


def _built(arrays: dict[str, NDArray[Any]]) -> Part:
    facts: dict[str, Any] = json.loads(arrays["facts"].item())
    columns: dict[str, Any] = {name: arrays[name] for name in _COLUMNS}
    return Part(
        shard=Shard(**facts["shard"]),
        queries=Samples(**columns),
        outcomes=Outcomes(
            **{name: arrays.get(name) for name in ("ap", "inp")},
            cmc=arrays["cmc"],
            valid=arrays["valid"],
            unmatched_count=facts["unmatched_count"],
        ),
        protocol=EvalProtocol(**facts["protocol"]),
        **{name: facts[name] for name in _FACTS},
    )
