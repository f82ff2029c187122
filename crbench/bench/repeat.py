"""Repeat work until the interval of its median is narrow."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import attrs
import numpy as np

from crbench.harness.timing import Clock

LEAST = 10
"""Calls that are timed whatever they cost."""

MOST = 2000
"""Calls that are timed at most."""

CONFIDENCE = 0.95


@attrs.frozen(kw_only=True)
class Sample:
    """Repeated calls of one piece of work.

    Attributes:
        seconds: of each timed call.
        first_s: of the very first call, which is not timed: only it holds what is compiled or set up at first use.
        unit: what one call works on, where only measuring tells; None = as the work says.
    """

    seconds: tuple[float, ...]
    first_s: float
    unit: str | None = None

    @property
    def quantiles(self) -> Quantiles:
        """Of `seconds`."""
        return Quantiles.of(self.seconds)

    @property
    def fastest(self) -> float:
        """The shortest call."""
        return min(self.seconds)


@attrs.frozen(kw_only=True)
class Quantiles:
    """Wall time of one call in seconds.

    Attributes:
        median, q1, q3, p90, p99: of the calls.
        low, high: ends of the 95 % interval of the median (by order statistics, so for any distribution).
        fastest: the shortest call.
        repeats: calls that were timed.
    """

    median: float
    q1: float
    q3: float
    p90: float
    p99: float
    low: float
    high: float
    fastest: float
    repeats: int = attrs.field(validator=attrs.validators.ge(1))

    @property
    def spread(self) -> float:
        """Half the width of the median's interval, as a fraction of the median."""
        return (self.high - self.low) / (2 * self.median) if self.median else 0.0

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Quantiles:
        """The quantiles of a sample; with fewer than six values the interval is that of all values.

        Example:
            >>> Quantiles.of([1.0, 2.0, 3.0]).median, Quantiles.of([1.0, 2.0, 3.0]).high
            (2.0, 3.0)
        """
        from scipy.stats import quantile_test

        q1, median, q3, p90, p99 = (float(v) for v in np.percentile(seconds, [25, 50, 75, 90, 99]))
        low, high = quantile_test(seconds, q=median, p=0.5).confidence_interval(CONFIDENCE)
        low, high = (float(low), float(high)) if np.isfinite([low, high]).all() else (min(seconds), max(seconds))
        return cls(
            median=median,
            q1=q1,
            q3=q3,
            p90=p90,
            p99=p99,
            low=low,
            high=high,
            fastest=min(seconds),
            repeats=len(seconds),
        )


def repeat(work: Callable[[], object], device: str, *, spread: float, budget_s: float, least: int = LEAST) -> Sample:
    """Time `work` until the median is known to within `spread`, or `budget_s` is spent.

    On CUDA each call is timed by events on the device; on other devices by the wall clock.

    Args:
        spread: see `Quantiles.spread`.
        least: calls that are timed whatever they cost.
    """
    with Clock(device) as first:
        work()
    work()
    seconds: list[float] = []
    started = time.perf_counter()
    while len(seconds) < MOST:
        seconds.append(call_seconds(work, device))
        if len(seconds) < least or len(seconds) % least:
            continue
        if time.perf_counter() - started > budget_s or Quantiles.of(seconds).spread <= spread:
            break
    return Sample(seconds=tuple(seconds), first_s=first.seconds)


def call_seconds(work: Callable[[], object], device: str) -> float:
    """Seconds of one call, the device's work included."""
    if not device.startswith("cuda"):
        with Clock(device) as clock:
            work()
        return clock.seconds
    import torch

    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    torch.cuda.synchronize(device)
    start.record(torch.cuda.current_stream(device))
    work()
    end.record(torch.cuda.current_stream(device))
    end.synchronize()
    return float(start.elapsed_time(end)) / 1e3
