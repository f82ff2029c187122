"""Names of half-written files and folders, what becomes of those whose writer was killed, and whether it was."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path

_NAME = re.compile(r"\.crbench-(?P<machine>[0-9a-f]{8})-(?P<process>[0-9]+)-[0-9a-f]{8}\.part", re.ASCII)
"""The suffix is matched by no pattern of crbench, and the name by none of another program."""

_DAY = 86_400
"""Seconds. No file of ours takes as long to write, so that an older one of another machine has lost its writer."""


def temporary_in(folder: Path) -> Path:
    """A path in `folder` that nobody else uses; what dead processes left there is deleted first."""
    _collect(folder)
    return folder / f".crbench-{_machine()}-{os.getpid()}-{secrets.token_hex(4)}.part"


def this_process() -> str:
    """Names this process among those of all machines, for `has_ended`."""
    return f"{_machine()}-{os.getpid()}"


def has_ended(process: str) -> bool:
    """Whether a process, by `this_process`, is known to have ended; of one on another machine nothing is known."""
    machine, _, number = process.partition("-")
    return machine == _machine() and number.isdecimal() and not _runs(int(number))


def delete_temporary(path: Path) -> None:
    """Delete a temporary file or folder, if it is still there."""
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@functools.cache  # at most once per process and folder
def _collect(folder: Path) -> None:
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            match = _NAME.fullmatch(entry.name)
            if match is not None and _dead(match["machine"], int(match["process"]), Path(entry.path)):
                delete_temporary(Path(entry.path))


def _dead(machine: str, process: int, path: Path) -> bool:
    """Whether a writer is surely gone: its process has ended here, or its file is a day old."""
    if machine == _machine():
        return not _runs(process)
    return time.time() - path.stat().st_mtime > _DAY


def _runs(process: int) -> bool:
    if os.name != "posix":
        return True  # on Windows, os.kill with signal 0 would end the process
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


@functools.cache
def _machine() -> str:
    """8 hex digits for this machine since its start, and this container: where process numbers have one meaning."""
    parts = [platform.node().encode()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_bytes())
    with suppress(OSError):
        parts.append(b"%d" % Path("/proc/self/ns/pid").stat().st_ino)
    return hashlib.blake2b(b"|".join(parts), digest_size=4).hexdigest()
