"""The cache folder of a run. That it is full or not writable is said once, and stops nothing."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from pathlib import Path

import attrs

from crbench.errors import SystemFaultError
from crbench.faults import faults_of

_TRIES = 20
"""Of writing into folders that somebody deletes at the same time."""


@attrs.define(eq=False)
class Cache:
    """Where a run keeps features and fits.

    Attributes:
        root: the folder.
        warn: told of damaged files, and once that nothing more can be kept.
        read_only: what is there is used; nothing is written, made or deleted.
    """

    root: Path
    warn: Callable[[str], None] = attrs.field(default=logging.getLogger("crbench").warning, repr=False)
    read_only: bool = attrs.field(default=False, kw_only=True)
    _writable: bool = attrs.field(default=True, init=False)

    def keep(self, write: Callable[[], None]) -> bool:
        """Let `write` put something below the folder; False where that is not possible, now or before.

        It is called again where its folder was deleted under it, as ``crbench cache prune`` beside a run does.
        """
        if self.read_only:
            return False
        for tries_left in reversed(range(_TRIES)):
            if not self._writable:
                break
            try:
                with faults_of(f"cannot use the cache {self.root}"):
                    write()
                break
            except SystemFaultError as error:
                if tries_left and _deleted(error):
                    continue
                self._writable = False
                self.warn(f"{error}; the run goes on and keeps nothing more in its cache")
        return self._writable


def _deleted(error: SystemFaultError) -> bool:
    """Whether a folder may have been deleted under a writer, before or after it looked for it."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.ENOENT, errno.EEXIST)
