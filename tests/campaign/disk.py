"""A disk that fails on purpose: counts what a process does to files in one folder, and spoils one of these operations.

It works from outside: the functions of Python through which every file is written are replaced for one process.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import signal
from pathlib import Path

FAULTS = ("SIGKILL", "ENOSPC", "EIO", "EACCES")
"""What can happen at an operation: the process is killed; the disk is full from then on; one error; no permission."""

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_REAL = {name: getattr(os, name) for name in ("open", "write", "fsync", "replace", "rename", "mkdir")}
_REAL_OPEN = builtins.open


class Disk:
    """The operations on files below one folder.

    Args:
        folder: operations elsewhere are left alone.
        at: the number of the operation that fails, from 0; None: none.
        fault: one of `FAULTS`.
    """

    def __init__(self, folder: Path, at: int | None = None, fault: str = "EIO") -> None:
        self.folder, self.at, self.fault = os.path.realpath(folder) + os.sep, at, fault
        self.operations: list[str] = []

    def install(self) -> None:
        """Replace the functions, for the rest of this process."""
        for name in _REAL:
            setattr(os, name, getattr(self, f"_{name}"))
        builtins.open = io.open = self._open_file

    def _meets(self, kind: str, path) -> bool:
        """Count an operation; whether this one is to fail."""
        if isinstance(path, int):
            path = Path(f"/proc/self/fd/{path}").readlink()
        whole = os.path.realpath(os.fsdecode(path))
        if not whole.startswith(self.folder):
            return False
        number = len(self.operations)
        self.operations.append(f"{kind} {whole.removeprefix(self.folder)}")
        lasting = self.fault == "ENOSPC" and kind != "fsync"
        return self.at is not None and (number == self.at or (lasting and number > self.at))

    def _strike(self, path=None) -> None:
        if self.fault == "SIGKILL":
            os.kill(os.getpid(), signal.SIGKILL)
        number = getattr(errno, self.fault)
        raise OSError(number, os.strerror(number), *([] if path is None else [os.fspath(path)]))

    def _open(self, path, flags, mode=0o777, **options) -> int:
        if flags & _WRITING and self._meets("open", path):
            self._strike(path)
        return _REAL["open"](path, flags, mode, **options)

    def _write(self, descriptor, data) -> int:
        if self._meets("write", descriptor):
            _REAL["write"](descriptor, bytes(data)[: len(data) // 2])
            self._strike()
        return _REAL["write"](descriptor, data)

    def _fsync(self, descriptor) -> None:
        if self._meets("fsync", descriptor if isinstance(descriptor, int) else descriptor.fileno()):
            self._strike()
        _REAL["fsync"](descriptor)

    def _replace(self, source, target, **options) -> None:
        if self._meets("replace", target):
            self._strike(target)
        _REAL["replace"](source, target, **options)

    def _rename(self, source, target, **options) -> None:
        if self._meets("rename", target):
            self._strike(target)
        _REAL["rename"](source, target, **options)

    def _mkdir(self, path, mode=0o777, **options) -> None:
        if not Path(path).is_dir() and self._meets("mkdir", path):
            self._strike(path)
        _REAL["mkdir"](path, mode, **options)

    def _open_file(self, file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, *rest, **options):
        """`open`, whose files count what reaches the disk."""
        writes = set(mode) & set("wxa+")
        if isinstance(file, int) or not writes:
            return _REAL_OPEN(file, mode, buffering, encoding, errors, newline, *rest, **options)
        if self._meets("open", file):
            self._strike(file)
        raw = _Counted(file, mode.replace("b", "").replace("t", ""), *rest, **options)
        raw.disk = self
        binary = raw if buffering == 0 else (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw)
        return binary if "b" in mode else io.TextIOWrapper(binary, encoding, errors, newline)


class _Counted(io.FileIO):
    disk: Disk

    def write(self, data) -> int:
        if self.disk._meets("write", self.fileno()):
            whole = bytes(data)
            super().write(whole[: len(whole) // 2])
            self.disk._strike()
        return super().write(data)
