"""Fitted transforms and trained weights, kept as safetensors under a key of all that they depend on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crbench.errors import DataError
from crbench.protocol.hashing import content_digest
from crbench.store.files import write_tensors

if TYPE_CHECKING:
    import torch


def save_state(path: Path, state: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> None:
    """Write a state with facts about it (JSON values); equal ones give equal files, byte for byte."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    # one entry, as safetensors writes several in any order
    facts = {**facts, "sha256": content_digest(tensors)}
    write_tensors(path, tensors, {"facts": json.dumps(facts, sort_keys=True)})


def written_digest(metadata: Mapping[str, str]) -> str | None:
    """The digest of the tensors that a cache file was written with; None where it has none."""
    digest: str | None = metadata.get("sha256") or json.loads(metadata.get("facts", "{}")).get("sha256")
    return digest


def load_state(path: Path, device: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
    """State and facts, or None where nothing is stored.

    Raises:
        DataError: the file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt", device=device) as file:
            facts = json.loads((file.metadata() or {}).get("facts", "{}"))
            facts.pop("sha256", None)
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118  not a mapping
    except (SafetensorError, OSError) as error:
        raise DataError(f"cache file {path} is damaged ({error}); run: crbench cache prune --bad") from error
