"""Draws of people, from names: the same on every machine and in whatever order trials and rows come."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from crbench.data.draws import hashes, repeated

REPLICATES = 2000
"""How often people are drawn anew for an interval."""

_BLOCK = 2**21
"""Draws made at once; bounds the memory."""


def drawn_weights(pids: NDArray[np.int64], seed: int, replicates: int = REPLICATES) -> Iterator[NDArray[np.float64]]:
    """How often each person is drawn, f64[b, n] for each block of replicates: n people with replacement each time.

    Args:
        pids: i64[n], people, ascending.

    Example:
        >>> [block.sum(axis=1).tolist() for block in drawn_weights(np.arange(5), seed=0, replicates=2)]
        [[5.0, 5.0]]
    """
    people = len(pids)
    bits = hashes(f"bootstrap|{seed}", pids.tolist())
    for numbers in _blocks(people, replicates):
        drawn = _repeated(bits, numbers) >> np.uint64(32)
        places = (drawn * np.uint64(people) >> np.uint64(32)).astype(np.int64)
        rows = np.arange(len(numbers))[:, None] * people
        yield np.bincount((places + rows).ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.float64)


def drawn_signs(pids: NDArray[np.int64], seed: int, permutations: int) -> Iterator[NDArray[np.float64]]:
    """Signs of people, 1 or -1 with equal probability: f64[b, n] for each block of permutations.

    Example:
        >>> [block.shape for block in drawn_signs(np.arange(5), seed=0, permutations=100)]
        [(100, 5)]
    """
    bits = hashes(f"permutation|{seed}", pids.tolist())
    for numbers in _blocks(len(pids), permutations):
        words = _repeated(bits, range(numbers.start // 64, (numbers.stop - 1) // 64 + 1))
        places = np.arange(64, dtype=np.uint64)
        signs = (words[:, None, :] >> places[:, None] & np.uint64(1)).reshape(-1, len(pids))
        yield 1.0 - 2.0 * signs[numbers.start % 64 :][: len(numbers)].astype(np.float64)


def _repeated(bits: NDArray[np.uint64], numbers: range) -> NDArray[np.uint64]:
    """u64[r, n], the bits of each repetition."""
    return repeated(bits, np.arange(numbers.start, numbers.stop, dtype=np.uint64)[:, None])


def _blocks(people: int, replicates: int) -> Iterator[range]:
    size = max(1, _BLOCK // people)
    for start in range(0, replicates, size):
        yield range(start, min(start + size, replicates))
