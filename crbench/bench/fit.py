"""The pace of an aligner's training: the time between the steps that it reports.

The training is stopped as soon as its pace is known.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from crbench.api.context import Progress, RunContext, Tracker, no_progress
from crbench.api.interfaces import Aligner
from crbench.api.pairing import TrainFeatures
from crbench.bench.repeat import LEAST, Quantiles, Sample, call_seconds, repeat
from crbench.denormals import denormals_flushed
from crbench.harness.timing import Clock

_WARM_UP = 2
"""Reports that do not count, at the start."""


_WARNINGS_ONLY = logging.getLogger(__name__)
_WARNINGS_ONLY.setLevel(logging.WARNING)


def repeated(device: str, progress: Progress = no_progress) -> RunContext:
    """The context of a fit that is repeated: its notes to the user, the same each time, are left out."""
    return RunContext(device=device, progress=progress, logger=_WARNINGS_ONLY)


class _EnoughError(Exception):
    """Ends a training whose pace is known; raised from its progress report."""


@attrs.define
class _Pace:
    """Seconds per step between reports; a report may stand for several steps."""

    device: str
    spread: float
    budget_s: float
    seconds: list[float] = attrs.field(factory=list)
    first_s: float = 0.0
    _reports: int = 0
    _started: float = attrs.field(factory=time.perf_counter)
    _last: float = attrs.field(factory=time.perf_counter)

    def advance(self, count: int = 1, **figures: float) -> None:
        """Note a report."""
        del figures
        with Clock(self.device):  # waits until the device has done the work so far
            pass
        now = time.perf_counter()
        self._reports += 1
        if self._reports == 1:
            self.first_s = now - self._started
        if self._reports > _WARM_UP:
            self.seconds.append((now - self._last) / max(1, count))
        self._last = now
        if len(self.seconds) >= LEAST and (
            now - self._started > self.budget_s or Quantiles.of(self.seconds).spread <= self.spread
        ):
            raise _EnoughError

    def sample(self) -> Sample:
        """The steps that were timed."""
        return Sample(seconds=tuple(self.seconds), first_s=self.first_s, unit="steps")


def fit_pace(aligner: Aligner, train: TrainFeatures, *, device: str, spread: float, budget_s: float) -> Sample:
    """Measure how fast `aligner` fits `train`.

    Returns:
        Seconds per step, seconds to the first step, and the unit ``steps``. For an aligner that reports no steps:
        seconds per fit, seconds of the first fit, and ``fits``.
    """
    pace = _Pace(device, spread, budget_s)

    @contextmanager
    def progress(total: int, description: str, unit: str) -> Iterator[Tracker]:
        del total, description, unit
        yield pace

    try:
        with denormals_flushed():
            whole = call_seconds(lambda: aligner.fit(train, run=repeated(device, progress)), device)
    except _EnoughError:
        return pace.sample()
    if pace.seconds:
        return pace.sample()
    with denormals_flushed():
        fits = repeat(lambda: aligner.fit(train, run=repeated(device)), device, spread=spread, budget_s=budget_s)
    return attrs.evolve(fits, first_s=whole, unit="fits")
