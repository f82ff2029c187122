"""The random draws of protocols and data sets, spelled out so that every machine and Python version draws the same.

A draw is a hash, not a state: each item gets 64 bits from BLAKE2b of the stream's name and the item's own name. So a
draw depends on neither the order in which items are listed nor on how many other items there are; a file that is added
or removed changes nothing for the rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def hashes(stream: str, names: Iterable[object]) -> NDArray[np.uint64]:
    """64 uniform bits per name, the same everywhere.

    Args:
        stream: names the purpose of the draw, e.g. ``"mlr-viper|trial 3|rates"``; other streams are independent.
        names: the items; each enters the hash by its ``str``.

    Returns:
        u64[n], big-endian reading of BLAKE2b-64(key=BLAKE2b-256(stream), name).

    Example:
        >>> [hex(h) for h in hashes("demo", ["a", "b"])]
        ['0x24563ca727cda4a3', '0x785838f664948269']
    """
    key = hashlib.blake2b(stream.encode(), digest_size=32).digest()
    keyed = hashlib.blake2b(digest_size=8, key=key)
    digests = []
    for name in names:
        digest = keyed.copy()  # much faster than to begin with the key
        digest.update(str(name).encode())
        digests.append(digest.digest())
    return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)


def repeated(bits: NDArray[np.uint64], number: int | NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Other 64 uniform bits per item, independent of those of other numbers; much faster than to hash again.

    Args:
        bits: u64[n], from `hashes`.
        number: of the repetition, from 0; or several, u64[r, 1].

    Returns:
        u64[n], or u64[r, n], the outputs of that number of generators SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)
        with these seeds.

    Example:
        >>> hex(repeated(np.array([0], dtype=np.uint64), 0)[0])
        '0xe220a8397b1dcdaf'
    """
    with np.errstate(over="ignore"):  # arithmetic is modulo 2**64
        steps = (np.asarray(number, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        mixed: NDArray[np.uint64] = bits + steps
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))


def choices(stream: str, names: Iterable[object], count: int) -> NDArray[np.intp]:
    """One uniform draw from ``range(count)`` per name (bias below ``count / 2**32``).

    Example:
        >>> set(choices("demo", range(100), 3).tolist()) == {0, 1, 2}
        True
    """
    if not 1 <= count < 2**32:
        raise ValueError(f"cannot draw from {count} options; expected 1 to 2**32 - 1")
    return ((hashes(stream, names) >> np.uint64(32)) * np.uint64(count) >> np.uint64(32)).astype(np.intp)


def shuffled(stream: str, names: Iterable[object]) -> list[object]:
    """The distinct names in an order drawn by the stream, whatever their order on entry.

    Example:
        >>> shuffled("demo", [3, 1, 2]) == shuffled("demo", [2, 3, 1])
        True
    """
    items = {str(name): name for name in names}
    keys = sorted(items)
    order = np.argsort(hashes(stream, keys), kind="stable")
    return [items[keys[i]] for i in order]
