"""Loops compiled by numba when their module is first imported, and ranges of rows for threads.

Compiled code is kept beside its module or, where that cannot be written, in numba's folder of the user; NUMBA_CACHE_DIR
names another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numba


def compiled(signature: str, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorates a function to compile for the types of a signature; it runs without the interpreter's lock."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            found = numba.njit(signature, nogil=True, cache=True, **options)(function)
        except RuntimeError:  # no folder can be written, so nothing is kept
            found = numba.njit(signature, nogil=True, **options)(function)
        loops: Callable[..., Any] = found
        return loops

    return decorate


def shares(count: int, threads: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows, one per thread.

    Example:
        >>> list(shares(5, 2))
        [(0, 2), (2, 5)]
    """
    ends = [count * number // threads for number in range(threads + 1)]
    return ((start, stop) for start, stop in pairwise(ends) if start < stop)
