"""Threads that share out loops and products on the CPU, while the libraries below compute in one thread each.

Threads of torch and of NumPy's BLAS go on looking for work for milliseconds after each operation, on the cores that
the next step needs: on two cores, a product and a loop in turns took 1.4 times as long as each by itself. So an engine
cuts its work here, and no library does below it.
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
"""Products of so many rows, or a multiple, fill the registers: others are up to a fifth slower."""

WORTH = 1 << 17
"""Simple steps that take about as long as it takes to wake a thread."""

_ONE_AT_A_TIME = RLock()
"""How many threads NumPy's BLAS uses is a setting of the process."""


class ScratchBuffer:
    """A work array that is kept, as fresh memory is slow: the system clears its pages as they are first written to."""

    def __init__(self) -> None:
        self._held = torch.empty(0, dtype=torch.int32)

    def take(self, count: int) -> torch.Tensor:
        """i32[count] with anything in it; what was taken before is written over."""
        if len(self._held) < count:
            self._held = torch.empty(count, dtype=torch.int32)
        return self._held[:count]


class Workers:
    """So many threads; the caller's is one of them.

    Args:
        threads: 1 = everything is done by the caller, and libraries keep their threads.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads - 1, initializer=_no_more_threads) if threads > 1 else None

    @classmethod
    def on(cls, device: torch.device) -> Workers:
        """As many as torch uses on the CPU, the same ones each time; a CUDA device needs none."""
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
        """As many pieces of rows for each thread, of nearly equal length and of at most so many rows."""
        threads = max(1, len(self.ranges(count, each)))
        return even_slices(count, -(-count // (threads * -(-count // (threads * most)))))

    def run(self, work: Callable[[*_A], _T], even_slices: Sequence[tuple[*_A]]) -> list[_T]:
        """What `work` gives for each piece, in their order."""
        if self._pool is None or len(even_slices) < 2:
            return [work(*piece) for piece in even_slices]
        jobs = [self._pool.submit(work, *piece) for piece in even_slices[1:]]
        try:
            first = work(*even_slices[0])
        finally:
            wait(jobs)
        return [first, *(job.result() for job in jobs)]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Libraries that the caller and the other threads call inside use one thread each."""
        if self._pool is None:
            yield
            return
        with _ONE_AT_A_TIME, _libraries().limit(limits=1):
            yield


@cache
def _kept(threads: int) -> Workers:
    """Threads that wait for the next evaluation; to start them takes as long as a small one."""
    return Workers(threads)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_kept.cache_clear)  # a child has none of the threads


def shares(count: int, threads: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows, one per thread.

    Example:
        >>> list(shares(5, 2))
        [(0, 2), (2, 5)]
    """
    ends = [count * number // threads for number in range(threads + 1)]
    return ((start, stop) for start, stop in pairwise(ends) if start < stop)


def even_slices(count: int, most: int) -> list[slice]:
    """As few slices as possible of at most so many rows, of nearly equal length.

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
    """A new thread's own limit for OpenMP, which knows one per thread; it ends with the thread."""
    _libraries().limit(limits=1, user_api="openmp")
