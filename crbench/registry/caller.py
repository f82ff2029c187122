"""The one thread of a process that calls plugins: the main thread, or the one in which a worker does its tasks.

What a plugin sets is often a setting of the process, which can be watched and put back for one thread only.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_turn = threading.Lock()
_caller: list[threading.Thread] = []


@contextmanager
def calling_plugins() -> Iterator[None]:
    """Inside, this thread calls plugins for its process; another one that wants to waits for its turn."""
    with _turn:
        _caller.append(threading.current_thread())
        try:
            yield
        finally:
            _caller.pop()


def is_caller() -> bool:
    """Whether this thread calls plugins for its process.

    Example:
        >>> is_caller()
        True
    """
    return threading.current_thread() is (_caller[0] if _caller else threading.main_thread())
