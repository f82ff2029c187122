"""Fine texture: repeating patterns for clothes and bags, and small printed emblems."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crbench_synthetic.chance import Chance

Tile = NDArray[np.uint8]

PATTERNS = ("plain", "hoops", "pinstripes", "check", "plaid", "dots", "diagonal", "zigzag", "motif")


def weave(pattern: str, chance: Chance) -> Tile:
    """A repeating tile u8[p, q] of colour numbers 0, 1, 2; one cell is one canvas pixel.

    Periods are 6 to 18 canvas pixels, 3 to 9 pixels of the finished image: from gone to visible at rate 2 to 4.
    """
    period = chance.pick((6, 8, 10, 12, 15, 18))
    thick = max(2, period * chance.pick((3, 5, 6)) // 10)
    line = np.arange(period)
    band: Tile = (line < thick).astype(np.uint8)
    if pattern == "plain":
        return np.zeros((1, 1), np.uint8)
    if pattern == "hoops":
        return band[:, None]
    if pattern == "pinstripes":
        return band[None, :]
    if pattern == "check":
        return band[:, None] ^ band[None, :]
    if pattern == "plaid":
        return band[:, None] + band[None, :]
    if pattern == "diagonal":
        sign = chance.pick((1, -1))
        return band.take((line[:, None] + sign * line[None, :]) % period)
    if pattern == "zigzag":
        wave = np.abs(np.arange(2 * period) - period)
        return band.take((line[:, None] + wave[None, :]) % period)
    if pattern == "dots":
        distance = 2 * line - (period - 1)
        spots: NDArray[np.bool_] = distance[:, None] ** 2 + distance[None, :] ** 2 <= (thick + 1) ** 2
        return spots.astype(np.uint8)
    if pattern == "motif":
        return _motif(chance)
    raise ValueError(f"unknown pattern {pattern!r}; known: {', '.join(PATTERNS)}")


def _motif(chance: Chance) -> Tile:
    """An irregular print: random patches of three colours, 8 x 8 cells of 3 to 5 pixels."""
    octets = chance.octets(64).reshape(8, 8)
    cells = (octets > 150).astype(np.uint8) + (octets > 215).astype(np.uint8)
    cell = chance.pick((3, 4, 5))
    return cells.repeat(cell, axis=0).repeat(cell, axis=1)


def emblem(chance: Chance) -> Tile:
    """A mirror-symmetric bitmap u8[7, 7], half of it set, as a logo or number on the chest or back."""
    half = (chance.octets(28).reshape(7, 4) > 118).astype(np.uint8)
    return np.concatenate([half, half[:, 2::-1]], axis=1)
