"""Atomic writes: fill a temporary file in the target's folder, flush it to disk, then rename it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from crbench.errors import DataError


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file, then rename it to `path`; a reader sees the whole file or none.

    Raises:
        DataError: it cannot be written, for example because the disk is full.
    """
    try:
        _write_whole(path, write)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"cannot write {path} ({reason}); make room there, or choose another folder") from error


def _write_whole(path: Path, write: Callable[[Path], None]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".part-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text whole."""
    write_whole(path, lambda temporary: _fill(temporary, text))


def write_tensors(path: Path, tensors: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """Write tensors as safetensors, whole."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}

    def fill(temporary: Path) -> None:
        try:
            save_file(contiguous, temporary, metadata=dict(metadata))
        except SafetensorError as error:  # which stands for what the file system says, too
            raise OSError(str(error)) from error

    write_whole(path, fill)


def _fill(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _umask() -> int:
    # The only portable way to read the mask is to set it; mkstemp made the file private to its owner.
    mask = os.umask(0)
    os.umask(mask)
    return mask
