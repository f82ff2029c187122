"""Wall time of device work: synchronise, warm up, repeat, median."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from types import TracebackType

REPEATS = 10


class Clock:
    """A context manager: `seconds` is the wall time of its block, until the device has finished its work."""

    def __init__(self, device: str) -> None:
        self._device = device
        self.seconds = 0.0

    def __enter__(self) -> Clock:
        _synchronise(self._device)
        self._start = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            _synchronise(self._device)
        self.seconds = time.perf_counter() - self._start


def median_seconds(work: Callable[[], object], device: str, *, repeats: int = REPEATS) -> float:
    """Median wall time of `work` over `repeats` calls, after one call to warm up."""
    work()
    times = []
    for _ in range(repeats):
        with Clock(device) as clock:
            work()
        times.append(clock.seconds)
    return statistics.median(times)


def _synchronise(device: str) -> None:
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)
