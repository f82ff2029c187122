"""The one writer: files and folders that appear whole or not at all, with their final permissions from the start.

What is written lies beside its target under a name that no pattern of ours matches, is flushed to disk and then
renamed. A writer that was killed leaves such a temporary behind; the next one in that folder deletes it, once it is
sure that its owner is dead.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from crbench.faults import faults_of
from crbench.store.temporaries import delete_temporary, temporary_in


def write_whole(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Let `fill` write the content of a file; a reader sees all of it, or what was there before.

    Missing folders are made. A symbolic link stays, and what it leads to is replaced; a file that is there keeps its
    permissions. A device, a FIFO and the program's own output (``/dev/stdout``) get the content as a stream.

    Args:
        path: the target.
        fill: gets a file that is open for writing bytes.

    Raises:
        SystemFaultError: the system refused; nothing is left of the attempt.
    """
    with faults_of(f"cannot write {path}"):
        stream = _stream(path)
        if stream is None:
            _replace(_end(path), fill)
            return
        content = io.BytesIO()
        fill(content)
        with stream:
            stream.write(content.getbuffer())


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text whole, see `write_whole`; of names that are not UTF-8, bytes appear as ``\\udcff``."""
    write_whole(path, lambda file: file.write(text.encode(errors="backslashreplace")))


def write_tensors(path: Path, tensors: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """Write tensors as safetensors, whole, see `write_whole`."""
    from safetensors.torch import save

    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # not by safetensors' own writer, whose files have permissions of their own and whose errors have no number
    write_whole(path, lambda file: file.write(save(contiguous, metadata=dict(metadata))))


def write_folder(path: Path, fill: Callable[[Path], object]) -> None:
    """Let `fill` put files into a new folder, which then becomes `path`; where that is, it must be empty.

    Raises:
        SystemFaultError: the system refused; nothing is left of the attempt.
    """
    with faults_of(f"cannot write {path}"):
        target = _end(path)
        with _temporary_beside(target) as temporary:
            temporary.mkdir()
            fill(temporary)
            for folder, _, names in os.walk(temporary):
                for name in names:
                    _sync(Path(folder, name))
                _sync(Path(folder))
            if target.exists():
                target.rmdir()
            temporary.rename(target)
        _sync(target.parent)


def check_writable(folder: Path) -> None:
    """Make a folder where it is missing, and a file in it for a moment: before the work whose outcome goes there.

    Raises:
        SystemFaultError: the system refused.
    """
    with faults_of(f"cannot write into {folder}"), _temporary_beside(_end(folder) / "any") as temporary:
        temporary.open("xb").close()


def _stream(path: Path) -> BinaryIO | None:
    """What takes a stream rather than being replaced; None for a file and for what is not there."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    for number in (1, 2):
        with suppress(OSError):  # it is closed
            if os.path.samestat(status, os.fstat(number)):
                return os.fdopen(os.dup(number), "wb")
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return None if stat.S_ISREG(status.st_mode) else path.open("wb")


def _end(path: Path) -> Path:
    """Where the symbolic links of a path lead, whether or not something is there."""
    with suppress(FileNotFoundError):
        path.stat()  # which says so where they lead back to themselves
    return Path(os.path.realpath(path))


def _replace(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    there = path.exists()
    if there and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))  # as for a program that writes in place
    with _temporary_beside(path) as temporary:
        with temporary.open("xb") as file:  # which applies the umask
            if there:
                temporary.chmod(stat.S_IMODE(path.stat().st_mode))
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    _sync(path.parent)


@contextmanager
def _temporary_beside(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_in(path.parent)
    try:
        yield temporary
    finally:
        delete_temporary(temporary)


def _sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to disk, where the file system can."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:  # a folder that may be written but not read; on Windows every folder
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
