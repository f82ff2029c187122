"""The cache folder of a run, which may be full or not writable: that is said once, and stops nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import attrs

from crbench.errors import SystemFaultError
from crbench.faults import faults_of


@attrs.define(eq=False)
class Cache:
    """Where a run keeps features and fits.

    Attributes:
        root: the folder.
        warn: told of damaged files, and once that nothing more can be kept.
    """

    root: Path
    warn: Callable[[str], None] = attrs.field(default=logging.getLogger("crbench").warning, repr=False)
    _writable: bool = attrs.field(default=True, init=False)

    def keep(self, write: Callable[[], None]) -> bool:
        """Let `write` put something below the folder; False where that is not possible, now or before."""
        if not self._writable:
            return False
        try:
            with faults_of(f"cannot use the cache {self.root}"):
                write()
        except SystemFaultError as error:
            self._writable = False
            self.warn(f"{error}; the run goes on and keeps nothing more in its cache")
        return self._writable
