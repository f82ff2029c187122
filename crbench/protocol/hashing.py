"""Digests: of JSON values, of files and folders, and of tensors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crbench.inputs import open_input

if TYPE_CHECKING:
    import torch


def digest(content: Any) -> str:
    """12 hex digits of SHA-256 over the canonical JSON of `content`."""
    return hashlib.sha256(canonical(content).encode()).hexdigest()[:12]


def canonical(content: Any) -> str:
    """The one JSON text of `content`: keys sorted, no spaces, ASCII."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def content_hash(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of a folder's files; ``missing`` where there is neither."""
    if not path.is_dir():
        return sha256_file(path) if path.is_file() else "missing"
    lines = [f"{file.name} {sha256_file(file)}\n" for file in sorted(path.iterdir()) if file.is_file()]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hex digits."""
    with open_input(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names, shapes, dtypes and bytes of tensors on the CPU; nothing is copied that is contiguous."""
    import torch

    hasher = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        hasher.update(f"{name}{tuple(tensor.shape)}{str(tensor.dtype).removeprefix('torch.')}".encode())
        hasher.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return hasher.hexdigest()
