"""Step 6, where it takes long: the state of a fit on its way, kept so that a stopped one continues."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from torch import Tensor

from crbench.api.context import RunContext
from crbench.errors import SystemFaultError
from crbench.store.cache import Cache
from crbench.store.tensors import DamagedFileError, load_state, save_state

EVERY_S = 60.0
"""Seconds between two states at least: so much of a fit is done again where its process was killed."""


@attrs.define(eq=False)
class UnfinishedFit:
    """A `crbench.api.context.FitCheckpoint` in a file of the cache.

    Attributes:
        path: None = keep nothing.
        key: of the fit; the state of another one is not taken.
        facts: what the fit is made by, for whoever cleans the cache up.
        features: digest of the content of the training features; a state of others is not taken.
    """

    path: Path | None
    key: str
    cache: Cache | None
    facts: Mapping[str, Any]
    features: str
    run: RunContext
    _last: float = attrs.field(factory=time.monotonic, init=False)

    def load(self) -> tuple[Mapping[str, Tensor], Mapping[str, Any]] | None:
        """The state of a fit that was stopped, on the CPU."""
        if self.path is None:
            return None
        try:
            found = load_state(self.path, "cpu")
        except (DamagedFileError, SystemFaultError) as error:
            self.run.logger.warning("%s; the fit starts anew", error)
            return None
        if found is None or (found[1].get("key"), found[1].get("features")) != (self.key, self.features):
            return None
        self.run.logger.info("the fit continues from %s", self.path)
        return found[0], found[1]["state"]

    def due(self) -> bool:
        """Whether the last state is old enough for a new one."""
        return self.path is not None and time.monotonic() - self._last >= EVERY_S

    def save(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Put a state in the place of the one before; a full disk is said and stops nothing."""
        path = self.path
        if path is not None and self.cache is not None:
            kept = {"key": self.key, "made_by": dict(self.facts), "features": self.features, "state": dict(facts)}
            self.cache.keep(lambda: save_state(path, tensors, kept))
        self._last = time.monotonic()

    def delete(self) -> None:
        """Forget the state, as the fit is done."""
        if self.path is not None and self.cache is not None:
            path = self.path
            self.cache.keep(lambda: path.unlink(missing_ok=True))
