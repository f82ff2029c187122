"""Tensors in files of ours (features, fitted transforms, trained weights, checkpoints), with a digest of their content.

A bit that flips on a disk or on its way changes a score without a word, so no tensor is taken before its bytes were
hashed once in this process. After that a file is taken as it is while its size and time of change stay the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from crbench.errors import DataError
from crbench.faults import system_fault
from crbench.inputs import check_utf8, open_input
from crbench.protocol.hashing import content_digest
from crbench.store.files import write_tensors

if TYPE_CHECKING:
    import torch

_intact: set[tuple[Path, int, int]] = set()
"""Files whose content this process has compared, each with size and time of change."""


class DamagedFileError(DataError):
    """The content of a file of ours is not what was written."""

    def __init__(self, path: Path, reason: object) -> None:
        super().__init__(f"{path} is damaged ({reason})")
        self.path = path
        self.reason = reason


@attrs.frozen(eq=False)
class TensorFile:
    """An open file of tensors, which are memory-mapped.

    Attributes:
        facts: what was written beside the tensors (JSON values), without the digest.
        digest: `crbench.protocol.hashing.content_digest` of the tensors as they were written; None = not of ours.
    """

    path: Path
    tensors: Mapping[str, torch.Tensor]
    facts: Mapping[str, Any]
    digest: str | None

    def check(self) -> None:
        """Compare the content with the digest, once per process. The file may have been deleted since it was opened.

        Raises:
            DamagedFileError: it is another.
        """
        try:
            status = self.path.stat()
        except FileNotFoundError:
            state = None
        else:
            state = (self.path, status.st_size, status.st_mtime_ns)
        if state in _intact:
            return
        if content_digest(self.tensors) != self.digest:
            raise DamagedFileError(self.path, "its content is not what was written")
        if state is not None:
            _intact.add(state)


def tensor_files(folder: Path) -> list[Path]:
    """The files of tensors in a folder, sorted; none where it is not there, or no longer."""
    try:
        return sorted(folder.glob("*.safetensors"))
    except FileNotFoundError:  # somebody deletes it at this moment
        return []


def save_state(path: Path, state: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors with facts about them (JSON values), whole; equal ones give equal files, byte for byte."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    # one entry, as safetensors writes several in any order
    text = json.dumps({**facts, "sha256": content_digest(tensors)}, sort_keys=True)
    write_tensors(path, tensors, {"facts": text})


def open_tensors(path: Path) -> TensorFile:
    """Open a file that `save_state` wrote. Its content is yet to be compared, by `TensorFile.check`.

    Raises:
        DamagedFileError: it is no such file, or cut short; or it has gone.
        SystemFaultError: the system cannot read it, which says nothing about its content.
    """
    from safetensors import SafetensorError, safe_open

    try:
        check_utf8(path)
        open_input(path).close()  # or safetensors would call a file missing that it may not open
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a mapping
            facts = dict(json.loads((file.metadata() or {}).get("facts", "{}")))
    except OSError as error:
        if not path.exists():
            raise DamagedFileError(path, "it has gone") from error
        raise system_fault(error, f"cannot read {path}") from error
    except (SafetensorError, ValueError, TypeError, RecursionError) as error:
        raise DamagedFileError(path, error) from error
    return TensorFile(path, tensors, facts, facts.pop("sha256", None))


def load_state(path: Path, device: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
    """Tensors on `device` and facts, compared with their digest; None where nothing is stored.

    Raises:
        DamagedFileError, SystemFaultError: see `open_tensors` and `TensorFile.check`.
    """
    if not path.exists():
        return None
    file = open_tensors(path)
    file.check()
    return {name: tensor.to(device) for name, tensor in file.tensors.items()}, dict(file.facts)


def check_ours(path: Path) -> None:
    """Compare the content of a file that `save_state` wrote; a file of others has no digest, and its reader judges it.

    Raises:
        DamagedFileError: its content is not what was written.
    """
    try:
        file = open_tensors(path)
    except DamagedFileError:
        return
    if file.digest is not None:
        file.check()
