"""Denormal numbers count as zero while networks compute: processors are up to a hundred times slower on them.

Adam's moments decay by a constant factor where gradients end, and so become denormal (below 1.2e-38) as a training goes
on. The flags that flush them belong to a thread. GNU OpenMP, which torch computes with on Linux, gives its threads the
flags that the calling thread had when they were started; other runtimes (LLVM's, Intel's) hand them over each time.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

_ENVIRONMENT_BYTES = 256
"""More than any C library's ``fenv_t``, the flags of floating-point arithmetic."""


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Inside, denormal numbers are zero in this thread and in those that torch computes with on the CPU for it.

    Afterwards all of them do again what this thread did before. Threads that are started inside keep it. Where the
    processor cannot flush, nothing changes.

    Example:
        >>> import torch
        >>> tiny = torch.tensor([1e-39])
        >>> with denormals_flushed():
        ...     inside = 1e38 * tiny
        >>> inside.item(), round((1e38 * tiny).item(), 3)
        (0.0, 0.1)
    """
    with _with_denormals(flushed=True):
        yield


@contextmanager
def denormals_kept() -> Iterator[None]:
    """Inside, denormal numbers are what they are, whatever the caller does: for results that must be exact.

    Afterwards it is as before, see `denormals_flushed`.
    """
    with _with_denormals(flushed=False):
        yield


@contextmanager
def _with_denormals(*, flushed: bool) -> Iterator[None]:
    before = are_flushed()
    flush_denormals(flushed)
    try:
        yield
    finally:
        flush_denormals(before)


def are_flushed() -> bool:
    """Whether denormal numbers are zero in this thread."""
    smallest = sys.float_info.min
    return smallest / 2 == 0.0


def flush_denormals(on: bool) -> None:
    """Let denormal numbers be zero, or not, in this thread and in those that torch computes with for it."""
    import torch  # at first use, as readers of results need none

    if torch.set_flush_denormal(on):
        _share()()


@cache
def _share() -> Callable[[], object]:
    """Gives all threads of this one's OpenMP team its flags; does nothing where its runtime hands them over itself.

    A parallel region calls the C library's ``fesetenv`` in each thread, which takes a microsecond. The runtime is the
    one that torch itself is linked to, as other packages bring copies with threads of their own.
    """
    import torch

    try:
        parallel = ctypes.CDLL(torch._C.__file__).GOMP_parallel
        library = ctypes.CDLL(None)
        get, put = library.fegetenv, library.fesetenv
    except (OSError, TypeError, AttributeError):
        return lambda: None

    def share() -> None:
        environment = ctypes.create_string_buffer(_ENVIRONMENT_BYTES)
        get(environment)
        parallel(put, environment, torch.get_num_threads(), 0)

    return share
