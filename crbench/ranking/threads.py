"""Threads that share out loops and products on the CPU, while the libraries below compute in one thread each.

Threads of torch and of NumPy's BLAS spin for milliseconds after each operation, on the cores that the next step needs:
on two cores, a product and a loop in turns took 1.4 times as long as each by itself. So an engine shares out its work
here, and no library below it starts threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from threading import RLock
from typing import TypeVar, TypeVarTuple

import torch
from threadpoolctl import ThreadpoolController

_A = TypeVarTuple("_A")
_T = TypeVar("_T")

ALIGNED = 64
"""Products whose number of rows is a multiple of this fill the registers: others are up to a fifth slower."""

WORTH = 1 << 17
"""Simple steps that take about as long as waking a thread does."""

_ONE_AT_A_TIME = RLock()
"""Held while the thread count of NumPy's BLAS is limited, as it is a setting of the whole process."""


class ScratchBuffer:
    """Memory for products, kept from panel to panel: fresh memory is slow, as the system clears each page first."""

    def __init__(self) -> None:
        self._held = torch.empty(0, dtype=torch.int32)

    def take(self, count: int) -> torch.Tensor:
        """i32[count] of arbitrary values; the same memory as any array that was taken before."""
        if len(self._held) < count:
            self._held = torch.empty(count, dtype=torch.int32)
        return self._held[:count]


class Workers:
    """A fixed number of threads, one of which is the caller's.

    Args:
        threads: 1 = the caller does everything, and libraries keep their threads.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads - 1, initializer=_no_more_threads) if threads > 1 else None

    @classmethod
    def on(cls, device: torch.device) -> Workers:
        """As many threads as torch uses on the CPU, the same ones each time; a CUDA device needs the caller only."""
        return _kept(torch.get_num_threads() if device.type == "cpu" else 1)

    def share(self, work: Callable[[int, int], object], count: int, each: int) -> None:
        """Do ``work(start, stop)`` for ranges that cover `count`; `each` says how much a row costs, see `ranges`."""
        self.run(work, self.ranges(count, each))

    def ranges(self, count: int, each: int) -> list[tuple[int, int]]:
        """Ranges of rows, one per thread as long as there are `WORTH` steps for each.

        Args:
            each: simple steps, such as a multiplication, that a row takes.
        """
        return list(shares(count, max(1, min(self.threads, count * each // WORTH))))

    def panels(self, count: int, each: int, most: int) -> list[slice]:
        """The rows in panels of at most `most` rows, equally many per thread and of nearly equal length.

        Args:
            each: see `ranges`.
        """
        threads = max(1, len(self.ranges(count, each)))
        return even_slices(count, -(-count // (threads * -(-count // (threads * most)))))

    def run(self, work: Callable[[*_A], _T], arguments: Sequence[tuple[*_A]]) -> list[_T]:
        """Call `work` with each tuple of arguments, in parallel; the results, in the order of the arguments.

        An error is raised once all calls have ended.
        """
        if self._pool is None or len(arguments) < 2:
            return [work(*given) for given in arguments]
        jobs = [self._pool.submit(work, *given) for given in arguments[1:]]
        try:
            first = work(*arguments[0])
        finally:
            wait(jobs)
        return [first, *(job.result() for job in jobs)]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Inside, libraries use one thread in each of these threads, the caller's included."""
        if self._pool is None:
            yield
            return
        with _ONE_AT_A_TIME, _libraries().limit(limits=1):
            yield


@cache
def _kept(threads: int) -> Workers:
    """Threads that wait for the next evaluation; starting them takes as long as a small evaluation."""
    return Workers(threads)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_kept.cache_clear)  # A child process has none of the threads.


def shares(count: int, threads: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows, one per thread.

    Example:
        >>> list(shares(5, 2))
        [(0, 2), (2, 5)]
    """
    ends = [count * number // threads for number in range(threads + 1)]
    return ((start, stop) for start, stop in pairwise(ends) if start < stop)


def even_slices(count: int, most: int) -> list[slice]:
    """As few slices as possible of at most `most` rows, of nearly equal length.

    Their lengths are multiples of `ALIGNED` where that is possible.

    Example:
        >>> even_slices(200, 150), even_slices(5, 2)
        ([slice(0, 128, None), slice(128, 200, None)], [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)])
    """
    even = -(-count // max(1, -(-count // most)))
    size = min(most, _aligned(even))
    return [slice(start, min(start + size, count)) for start in range(0, count, max(1, size))]


def _aligned(count: int) -> int:
    return -(-count // ALIGNED) * ALIGNED


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def _no_more_threads() -> None:
    """Limit OpenMP in a new thread, which has a limit of its own; it ends with the thread."""
    _libraries().limit(limits=1, user_api="openmp")
