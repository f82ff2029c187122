"""A limit on the time of a cell, so that a method that hangs does not hold up the others."""

from __future__ import annotations

import ctypes
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from crbench.errors import ConfigError
from crbench.registry.caller import is_caller

_AGAIN_S = 5.0
"""Seconds after which the limit strikes again, where a method swallowed it."""


class TimeLimitReached(BaseException):
    """The cell took longer than it may."""


def check_time_limit(seconds: float | None) -> None:
    """Refuse a limit that cannot be kept here.

    Raises:
        ConfigError: there are no alarms on this system, or this thread is not the one that calls plugins.
    """
    if seconds is None:
        return
    if not hasattr(signal, "setitimer"):
        raise ConfigError("cell_timeout: this system has no alarms; leave it out")
    if not is_caller():
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
    first = max(seconds - spent, 1e-3)
    text = f"it took more than {seconds:g} s (--cell-timeout)"
    main = threading.current_thread() is threading.main_thread()
    with _signal_after(first, text) if main else _raised_after(first, text):
        yield


@contextmanager
def _signal_after(seconds: float, text: str) -> Iterator[None]:
    """By an alarm, which only the main thread gets; it also ends a call of the system that waits."""

    def strike(_: int, __: FrameType | None) -> None:
        raise TimeLimitReached(text)

    before = signal.signal(signal.SIGALRM, strike)
    signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _raised_after(seconds: float, text: str) -> Iterator[None]:
    """By another thread, which lets this one raise an object of a class."""

    class Reached(TimeLimitReached):
        def __init__(self) -> None:
            super().__init__(text)

    Reached.__name__ = TimeLimitReached.__name__
    thread, over, striking = ctypes.c_ulong(threading.get_ident()), threading.Event(), threading.Lock()

    def strike() -> None:
        wait = seconds
        while not over.wait(wait):
            wait = _AGAIN_S
            with striking:
                if not over.is_set():
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(Reached))

    threading.Thread(target=strike, name="cell-timeout", daemon=True).start()
    try:
        yield
    finally:
        with striking:
            over.set()
            ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, None)  # what has not been raised yet


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
