"""Progress on stderr: a bar for work of more than a second, or a line now and then where stderr is no terminal."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Never

import attrs
import click

from crbench.api.context import Tracker
from crbench.cli.terminal import shown

if TYPE_CHECKING:
    from tqdm import tqdm


_log = logging.getLogger(__name__)

FIRST_LINE_S = 10.0
"""Seconds of work without a word, so that short work says nothing."""

LINE_EVERY_S = 30.0
"""Seconds between two lines, at least."""

# tqdm's own is shared with other processes and reported as leaked where a process of a training is ended
_LOCK = threading.RLock()


@attrs.frozen
class _Bar:
    bar: tqdm[Never]

    def advance(self, count: int = 1, **figures: float) -> None:
        if figures:
            self.bar.set_postfix({name: f"{value:.4g}" for name, value in figures.items()}, refresh=False)
        self.bar.update(count)


@attrs.define
class Lines:
    """A tracker that logs a line now and then: count, pace since the line before, and the time that is left by it.

    Attributes:
        clock: gives seconds.
    """

    total: int
    description: str
    unit: str
    clock: Callable[[], float] = time.monotonic
    _done: int = attrs.field(default=0, init=False)
    _said: tuple[float, int] = attrs.field(init=False)
    _due: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._said = self.clock(), 0
        self._due = self._said[0] + FIRST_LINE_S

    def advance(self, count: int = 1, **figures: float) -> None:
        """Count, and say so where a line is due."""
        self._done += count
        now, (before, already) = self.clock(), self._said
        if now < self._due or self._done >= self.total:
            return
        pace = (self._done - already) / (now - before)
        left = timedelta(seconds=round((self.total - self._done) / pace)) if pace else "?"
        share = f"{self._done:,} of {self.total:,} ({100 * self._done / self.total:.0f} %)"
        values = "".join(f", {name} {value:.4g}" for name, value in figures.items())
        _log.info("%s: %s, %s %s/s, %s left%s", self.description, share, f"{pace:,.3g}", self.unit, left, values)
        self._said, self._due = (now, self._done), now + LINE_EVERY_S


@contextmanager
def progress(total: int, description: str, unit: str) -> Iterator[Tracker]:
    """A bar or lines with rate and time left; see `crbench.api.context.Progress`."""
    if not sys.stderr.isatty():
        yield Lines(total, description, unit)
        return
    from tqdm import tqdm

    tqdm.set_lock(_LOCK)
    with tqdm(total=total, desc=description, unit=f" {unit}", delay=1, leave=False) as bar:
        yield _Bar(bar)


class _Lines(logging.Formatter):
    """Each note is one line."""

    def format(self, record: logging.LogRecord) -> str:
        return f"crbench: {shown(record.getMessage())}"


class _Once(logging.Filter):
    """Lets no line through twice: runs of a config, and rates of a sweep, take the same defaults."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        new = text not in self._said
        self._said.add(text)
        return new


def configure_logging(verbosity: int) -> None:
    """Send notes of crbench to stderr while the command of now runs: -1 warnings only, 0 notes, 1 everything.

    Each is said once.

    A command may be called inside a process that logs in its own way, so what it set ends with it.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    handler.addFilter(_Once())
    logger = logging.getLogger("crbench")
    click.get_current_context().call_on_close(partial(_set, logger, logger.handlers[:], logger.propagate, logger.level))
    _set(logger, [handler], False, {-1: logging.WARNING, 0: logging.INFO}.get(verbosity, logging.DEBUG))


def _set(logger: logging.Logger, handlers: list[logging.Handler], propagate: bool, level: int) -> None:
    logger.handlers[:], logger.propagate = handlers, propagate
    logger.setLevel(level)
