"""Random numbers of the generator: named streams of raw Philox bits, turned into numbers by exact operations only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from crbench.api import hashes

_T = TypeVar("_T")
_CHUNK = 64


class Chance:
    """A sequence of draws that belongs to one name of one stream.

    Only raw bits of the bit generator are used (NumPy promises to keep those), not `numpy.random.Generator` (whose
    methods may change from version to version).

    Args:
        stream: the purpose, as in `crbench.api.hashes`.
        name: the item within the stream.

    Example:
        >>> Chance("demo", 1).below(1000) == Chance("demo", 1).below(1000)
        True
    """

    def __init__(self, stream: str, name: object) -> None:
        self._bits = np.random.Philox(key=int(hashes(stream, [name])[0]))
        self._words = self._unroll()

    def _unroll(self) -> Iterator[int]:
        while True:
            yield from self._bits.random_raw(_CHUNK).tolist()

    def below(self, count: int) -> int:
        """An integer from 0 to `count` - 1."""
        return (next(self._words) >> 32) * count >> 32

    def between(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * ((next(self._words) >> 11) * 2.0**-53)

    def hit(self, percent: int) -> bool:
        """True in `percent` of 100 cases."""
        return self.below(100) < percent

    def pick(self, options: Sequence[_T], weights: Sequence[int] | None = None) -> _T:
        """One of the options; integer `weights` say how often each is taken."""
        if weights is None:
            return options[self.below(len(options))]
        left = self.below(sum(weights))
        for option, weight in zip(options, weights, strict=True):
            if left < weight:
                return option
            left -= weight
        raise ValueError(f"weights {tuple(weights)} give nothing to pick; expected integers of which one is above 0")

    def octets(self, count: int) -> NDArray[np.uint8]:
        """`count` uniform bytes, u8[count], the same on little- and big-endian machines."""
        words: NDArray[np.uint64] = self._bits.random_raw((count + 7) // 8)
        return words.astype("<u8", copy=False).view(np.uint8)[:count]
