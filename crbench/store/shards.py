"""Parts of a sharded evaluation as npz files; nothing is pickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.errors import DataError
from crbench.evaluation.outcomes import Outcomes, Ranks, check_found
from crbench.evaluation.shards import Part, Shard
from crbench.files.numpy_files import read_npz
from crbench.protocol import EvalProtocol
from crbench.records import Samples
from crbench.store.files import write_whole

_COLUMNS = ("keys", "pids", "camids", "rates")
_RANKS = ("ranks", "starts", "candidates")
_FORMAT = 2
"""Raised when the arrays of a part change."""

_FACTS = ("features", "stream", "engine", "precision", "ambiguous", "version")


def save_part(path: Path, part: Part) -> None:
    """Write a part, whole.

    Raises:
        SystemFaultError: the file cannot be written.
    """
    facts = {name: getattr(part, name) for name in _FACTS}
    facts |= {"shard": attrs.asdict(part.shard), "protocol": part.protocol.flat()}
    facts["format"] = _FORMAT
    arrays = {name: getattr(part.queries, name) for name in _COLUMNS}
    if part.outcomes.ranks is not None:
        arrays |= {name: getattr(part.outcomes.ranks, name) for name in _RANKS}
    if part.outcomes.cmc is not None:
        arrays["cmc"] = part.outcomes.cmc

    write_whole(path, lambda file: np.savez(file, facts=np.array(json.dumps(facts)), **arrays))


def load_part(path: Path) -> Part:
    """A part from a file.

    Raises:
        DataError: no such file, or not a part.
    """
    try:
        return _built(read_npz(path))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise DataError(
            f"{path}: not a part of an evaluation, or cut short, or of another version; expected what "
            "crbench evaluate --shard writes"
        ) from error


def _built(arrays: dict[str, NDArray[Any]]) -> Part:
    facts: dict[str, Any] = json.loads(arrays["facts"].item())
    if facts["format"] != _FORMAT:
        raise ValueError("a part of another version")
    columns: dict[str, Any] = {name: arrays[name] for name in _COLUMNS}
    queries = Samples(**columns)
    ranks = Ranks(**{name: arrays[name] for name in _RANKS}) if "ranks" in arrays else None
    outcomes = Outcomes(ranks=ranks, cmc=arrays.get("cmc"))
    check_found(outcomes)
    if len(queries) != len(outcomes.curves()):
        raise ValueError("queries and outcomes do not match")
    return Part(
        shard=Shard(**facts["shard"]),
        queries=queries,
        outcomes=outcomes,
        protocol=EvalProtocol.of(**facts["protocol"]),
        **{name: facts[name] for name in _FACTS},
    )
