"""Progress bars on stderr for work of more than a second; nothing when stderr is not a terminal."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Never

import attrs

from crbench.api.context import Tracker
from crbench.cli.terminal import shown

if TYPE_CHECKING:
    from tqdm import tqdm


# tqdm's own is shared with other processes and reported as leaked where a process of a training is ended
_LOCK = threading.RLock()


@attrs.frozen
class _Bar:
    bar: tqdm[Never]

    def advance(self, count: int = 1, **figures: float) -> None:
        if figures:
            self.bar.set_postfix({name: f"{value:.4g}" for name, value in figures.items()}, refresh=False)
        self.bar.update(count)


@contextmanager
def progress(total: int, description: str, unit: str) -> Iterator[Tracker]:
    """A bar with rate and time left; see `crbench.api.context.Progress`."""
    from tqdm import tqdm

    tqdm.set_lock(_LOCK)
    disable = not sys.stderr.isatty()
    with tqdm(total=total, desc=description, unit=f" {unit}", delay=1, disable=disable, leave=False) as bar:
        yield _Bar(bar)


class _Lines(logging.Formatter):
    """Each note is one line."""

    def format(self, record: logging.LogRecord) -> str:
        return f"crbench: {shown(record.getMessage())}"


def configure_logging(verbosity: int) -> None:
    """Send notes of crbench to stderr: -1 warnings only, 0 notes, 1 everything."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    logger = logging.getLogger("crbench")
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel({-1: logging.WARNING, 0: logging.INFO}.get(verbosity, logging.DEBUG))
