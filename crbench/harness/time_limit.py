"""A limit on the time of a cell, so that a method that hangs does not hold up the others."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from crbench.errors import ConfigError

_AGAIN_S = 5.0
"""Seconds after which the limit strikes again, where a method swallowed it."""


class TimeLimitReached(BaseException):
    """The cell took longer than it may."""


def check_time_limit(seconds: float | None) -> None:
    """Refuse a limit that cannot be kept here.

    Raises:
        ConfigError: there are no alarms on this system, or this is not the main thread, which alone gets them.
    """
    if seconds is None:
        return
    if not hasattr(signal, "setitimer"):
        raise ConfigError("cell_timeout: this system has no alarms; leave it out")
    if threading.current_thread() is not threading.main_thread():
        raise ConfigError("cell_timeout: only the main thread of a program can be stopped; call crbench.run from it")


@contextmanager
def time_limit(seconds: float | None, spent: float = 0.0) -> Iterator[None]:
    """Raise `TimeLimitReached` inside once so many seconds are over, `spent` of them before.

    It comes between two steps of Python: a call into compiled code, such as one product of large matrices or one step
    of a captured CUDA graph, is not cut short.

    Args:
        seconds: None = no limit.
    """
    if seconds is None:
        yield
        return
    limit = seconds

    def strike(_: int, __: FrameType | None) -> None:
        raise TimeLimitReached(f"it took more than {limit:g} s (--cell-timeout)")

    before = signal.signal(signal.SIGALRM, strike)
    signal.setitimer(signal.ITIMER_REAL, max(limit - spent, 1e-3), _AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Stopwatch:
    """Adds up the seconds of what is done inside it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the seconds of the block."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds += time.monotonic() - started
