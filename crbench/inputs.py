"""Files that users give, opened so that nothing waits for ever, fills the memory or is read in a wrong encoding."""

from __future__ import annotations

import codecs
import errno
import io
import mmap
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from crbench.errors import DataError, SystemFaultError
from crbench.faults import out_of_memory, system_fault

_SYSTEM = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO)
"""Errors that say nothing about the file."""

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Encodings by the mark that a text begins with; UTF-32 first, as its mark begins with that of UTF-16."""

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where Linux says how much memory a container may take."""


_SMALL = 1 << 26
"""Bytes that fit wherever Python does, so that nobody has to ask the system for each of many images."""

_COPIES = 4
"""Of a file's content that a library may hold at once while it reads it; onnxruntime was seen to take three."""


def open_input(path: Path) -> io.BufferedReader:
    """A file, open for reading.

    Raises:
        DataError: it is a FIFO, a socket or a device, from which a read may wait for ever.
        OSError: it does not exist, is a folder, or may not be read.
        SystemFaultError: the system cannot open or read any file now.
    """
    try:
        # without waiting for somebody to write into a FIFO
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket
            raise _special(path) from error
        raise system_fault(error, f"cannot read {path}") if error.errno in _SYSTEM else error from None
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise _special(path)


def check_input(path: Path) -> None:
    """Refuse what `open_input` refuses, before a library opens a file by its name; what is not there passes.

    Raises:
        DataError: it is a FIFO, a socket or a device.
    """
    with suppress(OSError):  # whoever opens it says so
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise _special(path)


def read_input(path: Path) -> bytes:
    """The content of a file.

    Raises:
        DataError: it is a FIFO, a socket or a device, or larger than the memory.
        OSError, SystemFaultError: as for `open_input`.
    """
    with open_input(path) as file:
        check_memory(os.fstat(file.fileno()).st_size, str(path))
        return file.read()


def read_text_input(path: Path) -> str:
    """The text in a file: UTF-8, or what a byte-order mark at its beginning says (UTF-8, UTF-16, UTF-32).

    Raises:
        DataError: as for `read_input`.
        ValueError: another encoding; the message says what was found and what to do.
        OSError, SystemFaultError: as for `open_input`.
    """
    content = read_input(path)
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        found = f"byte {content[error.start]:#04x} at {error.start} is not {encoding.upper().removesuffix('-SIG')}"
        raise ValueError(f"{found}; save it as UTF-8") from error
    if "\0" in text:
        raise ValueError("it holds NUL characters, as UTF-16 without a byte-order mark does; save it as UTF-8")
    return text


def files_below(folder: Path) -> Iterator[Path]:
    """Whatever lies below a folder and is no folder, sorted by path; links are followed, hidden names passed over.

    Raises:
        DataError: a folder cannot be read, or a link leads back to a folder above itself.
    """
    left: list[tuple[Path, tuple[tuple[int, int], ...]]] = [(folder, ())]
    while left:
        path, above = left.pop()
        if not path.is_dir():
            yield path
            continue
        try:
            status = path.stat()
            inside = sorted((child for child in path.iterdir() if not child.name.startswith(".")), reverse=True)
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
        here = (status.st_dev, status.st_ino)
        if here in above:
            raise DataError(f"{path}: a link that leads back to a folder above it; remove the link")
        left.extend((child, (*above, here)) for child in inside)


def is_utf8(path: str | Path) -> bool:
    """Whether a name is UTF-8, as a path may hold any bytes."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def check_utf8(path: Path) -> None:
    """Refuse a path that safetensors, or a list of images, could not name.

    Raises:
        DataError: it is not UTF-8.
    """
    if not is_utf8(path):
        raise DataError(f"{path}: the name is not UTF-8; rename the file or folder")


def check_memory(size: int, what: str) -> None:
    """Refuse what cannot fit into memory, before it is read.

    Args:
        size: bytes that it takes.
        what: begins the message, such as a path.

    Raises:
        DataError: it is more than this process may take.
    """
    if size <= _SMALL:
        return
    limit = memory_limit()
    if size > limit:
        raise DataError(f"{what}: it takes {size / 2**30:.1f} GiB of memory, and there are {limit / 2**30:.1f}")


def memory_fault(path: Path, error: Exception) -> SystemFaultError | None:
    """The error to raise where memory did not suffice to read a file; None where the file is at fault.

    A damaged file may claim a size that no memory holds. So memory is short only if it does not hold what lies on disk.

    Args:
        error: what the reader raised.
    """
    fault = out_of_memory(error)
    if fault is None:
        return None
    try:
        mmap.mmap(-1, _COPIES * path.stat().st_size or 1).close()  # reserves addresses, but no memory
    except OSError:
        return SystemFaultError(f"{path}: {fault}")
    return None


def memory_limit() -> int:
    """Bytes that this process may take: of the machine, its container or by ``ulimit -v``; else `sys.maxsize`."""
    limits = [sys.maxsize]
    with suppress(AttributeError, ValueError, OSError):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in _LIMITS:
        with suppress(OSError, ValueError):  # ``max`` is no number
            limits.append(int(Path(path).read_bytes()))
    with suppress(ImportError):  # on Windows
        import resource

        limits.append(resource.getrlimit(resource.RLIMIT_AS)[0])
    return min(limit for limit in limits if limit > 0)


def _special(path: Path) -> DataError:
    return DataError(f"{path}: a FIFO, a socket or a device; expected a file, so copy its content into one")
