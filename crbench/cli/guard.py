"""What ends the command line in one line and a documented exit code: errors, faults of the system, signals."""

from __future__ import annotations

import codecs
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TextIO

import click

from crbench.cli.terminal import shown
from crbench.errors import (
    ComparisonError,
    ConfigError,
    CrbenchError,
    DataError,
    EvaluationError,
    PluginError,
    SystemFaultError,
)
from crbench.faults import out_of_memory, system_fault

EXIT_CODES: dict[type[CrbenchError], int] = {
    EvaluationError: 1,
    ConfigError: 2,
    DataError: 3,
    PluginError: 4,
    ComparisonError: 5,
    SystemFaultError: 6,
}

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that end a command as Ctrl-C does; the exit code is `SIGNAL_BASE` and the signal's number."""

SIGNAL_BASE = 128
_RESERVE = 1 << 22
"""Bytes that are given back where memory has run out, as the words about it need some."""

_STDERR = 2
"""The number of the standard error."""

_BROKEN_PIPE = 13
"""The number of SIGPIPE, also where there is no such signal."""


class Stopped(KeyboardInterrupt):
    """A signal asked the command to end; a `KeyboardInterrupt`, as whatever must not hold up Ctrl-C lets it pass.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def guarded(command: Callable[[], object]) -> int:
    """Call a command; returns the exit code.

    Raises:
        Exception: a fault of ours, whose traceback is wanted.
    """
    _print_any_name()
    _occupy_stderr()
    reserve = bytearray(_RESERVE)
    try:
        if sys.stdout is None:  # what is printed would go into the next file that is opened, which gets its number
            raise SystemFaultError("the standard output is closed; give it a file or /dev/null")
        with _ended_by_signals():
            outcome = command()
    except click.exceptions.Exit as ending:
        return ending.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort) as stop:
        number = stop.number if isinstance(stop, Stopped) else signal.SIGINT.value
        _say(f"stopped by {signal.Signals(number).name}; what is finished is kept, run again to continue")
        return SIGNAL_BASE + number
    except (CrbenchError, OSError, MemoryError, RuntimeError, ImportError) as error:
        if isinstance(error, BrokenPipeError) or isinstance(error.__cause__, BrokenPipeError):
            _leave(sys.stdout)  # the reader, such as head, has enough; a message would only disturb
            return SIGNAL_BASE + _BROKEN_PIPE
        reserve.clear()
        expected = _expected(error)
        if expected is None:
            raise
        _say(f"error: {expected}")
        return exit_code(expected)
    return outcome if isinstance(outcome, int) else 0


def exit_code(error: CrbenchError) -> int:
    """The documented exit code of an error."""
    return next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), 1)


def _expected(error: Exception) -> CrbenchError | None:
    """The error to show in one line; None for a fault of ours."""
    if isinstance(error, CrbenchError):
        return error
    if (fault := out_of_memory(error)) is not None:
        return fault
    if not isinstance(error, OSError) or error.errno is None:
        return None
    if any(frame.f_code is click.echo.__code__ for frame, _ in traceback.walk_tb(error.__traceback__)):
        _leave(sys.stdout)
        return system_fault(error, "cannot write the output")
    return system_fault(error, "the system refused" if error.filename is None else f"cannot use {error.filename}")


def _print_any_name() -> None:
    """Print names of files that are not UTF-8 byte by byte as they are, and what the terminal lacks as ``\\xe9``."""

    def spelled(error: UnicodeError) -> tuple[str | bytes, int]:
        try:
            return codecs.lookup_error("surrogateescape")(error)
        except UnicodeError:
            return codecs.lookup_error("backslashreplace")(error)

    codecs.register_error("crbench", spelled)
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="crbench")


def _occupy_stderr() -> None:
    """Let messages go nowhere where the standard error is closed.

    Else the next file that is opened gets its number, and with it what libraries print.
    """
    if sys.stderr is not None:
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.fstat(_STDERR)
    except OSError:
        os.dup2(nowhere, _STDERR)
    sys.stderr = os.fdopen(nowhere, "w", encoding="utf-8", errors="backslashreplace")


def _leave(stream: TextIO) -> None:
    """Let what is left in a standard stream go nowhere, as Python would end with a code of its own for it."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _say(text: str) -> None:
    try:
        click.echo(f"crbench: {shown(text)}", err=True)
    except OSError:  # the standard error is closed or full, so nothing can be said
        _leave(sys.stderr)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let `SIGNALS` raise `Stopped`, once: a second signal, while the first is obeyed, ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # Signals that are ignored, as under nohup or in a background job of a shell, stay ignored.
    before = {number: signal.getsignal(number) for number in SIGNALS}
    taken = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}

    received: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        received.append(number)
        for other in taken:
            signal.signal(other, signal.SIG_DFL)
        raise Stopped(number)

    for number in taken:
        signal.signal(number, stop)
    try:
        yield
    except Exception as error:
        if received:  # code that caught `Stopped`, such as an import, raised this instead
            raise Stopped(received[0]) from error
        raise
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)
