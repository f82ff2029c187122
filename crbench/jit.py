"""Loops compiled by numba when their module is first imported.

Compiled code is kept beside its module or, where that folder is not writable, in numba's folder of the user.
NUMBA_CACHE_DIR names another folder.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(signature: str | list[str], **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that compiles a function for one or several signatures; it runs without the interpreter's lock.

    Args:
        signature: types of what is given and returned, as numba writes them, such as ``"void(f4[:, ::1], i8)"``. Give
            plain numbers: others, such as members of an ``IntEnum``, are converted at every call, which takes longer
            than small loops.
        options: of ``numba.njit``. Without ``fastmath``, operations are those of IEEE 754 in the order of the source.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            found = numba.njit(signature, nogil=True, cache=True, **options)(function)
        except RuntimeError:  # No folder is writable, so nothing is kept.
            found = numba.njit(signature, nogil=True, **options)(function)
        loops: Callable[..., Any] = found
        return loops

    return decorate
