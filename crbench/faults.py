"""Faults of the system in one line: what failed, on which path, and what to do."""

from __future__ import annotations

import errno
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

from crbench.errors import SystemFaultError

_MEMORY = (
    "can't allocate memory",  # torch
    "not enough memory",  # torch on Windows
    "out of memory",  # torch on CUDA
    "std::bad_alloc",  # onnxruntime
    "can't start new thread",
    "failed to map segment",  # of a library, at its import
    "cannot allocate memory",
)
"""What errors say that are no `MemoryError` and mean one, in small letters."""

_SHOWN = 160
"""Characters of an error's text at most; that of CUDA is a page."""

_OTHER_PLACE = "choose another folder, or change who may write there"
_ADVICE = {
    errno.EACCES: _OTHER_PLACE,
    errno.EPERM: _OTHER_PLACE,
    errno.EROFS: "choose another folder",
    errno.ENOSPC: "make room there, or choose another folder",
    errno.EDQUOT: "make room there, or choose another folder",
    errno.EFBIG: "raise the limit (ulimit -f), or choose another folder",
    errno.ENOTDIR: "a file is where a folder should be; choose another path",
    errno.EEXIST: "a file is where a folder should be; choose another path",
    errno.EISDIR: "a folder is where a file should be; choose another path",
    errno.ELOOP: "its symbolic links lead back to themselves; correct them",
    errno.EMFILE: "raise the limit (ulimit -n), or use fewer threads",
    errno.ENFILE: "the machine has too many files open; close programs",
    errno.ENOMEM: "free memory, or raise the limit (ulimit -v)",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EIO: "the disk or the way to it is failing; choose another folder",
}


def system_fault(error: OSError, what: str) -> SystemFaultError:
    """The error to raise where the system refused something.

    Args:
        what: what could not be done and on which path, such as ``cannot write board.html``.
    """
    reason = error.strerror or " ".join(str(error).split()) or type(error).__name__
    advice = _ADVICE.get(error.errno or 0)
    return SystemFaultError(f"{what}: {reason}; {advice}" if advice else f"{what}: {reason}")


def out_of_memory(error: BaseException) -> SystemFaultError | None:
    """The error to raise where memory did not suffice; None for an error of another kind."""
    text = textwrap.shorten(str(error), _SHOWN)
    if not isinstance(error, MemoryError) and not any(words in str(error).lower() for words in _MEMORY):
        return None
    return SystemFaultError(
        f"out of memory{f' ({text})' if text else ''}; free some, raise the limit (ulimit -v), or ask for less "
        "(--batch-size, --num-workers, --memory-budget)"
    )


@contextmanager
def faults_of(what: str) -> Iterator[None]:
    """Turn an `OSError` of the block into a `SystemFaultError`; `what` as for `system_fault`."""
    try:
        yield
    except OSError as error:
        raise system_fault(error, what) from error
