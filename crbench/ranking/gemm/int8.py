"""Int8 products on the CPU: each value is split into two digits, and these are multiplied exactly in int32.

A row x is ``scale * (high + low / INT8_BASE)`` plus a rest, see `crbench.ranking.gemm.products`. Processors with VNNI
or AMX instructions multiply int8 four to eight times as fast as float32, so three int8 products are still faster than
one float32 product.
"""

from __future__ import annotations

import math
import time
from functools import cache

import attrs
import numpy as np
import torch

from crbench.jit import compiled
from crbench.ranking.gemm import INT8_BASE, processor_has
from crbench.ranking.threads import ScratchBuffer, Workers

_SLACK = 2.0**-6 + 2.0**-7
"""Per element, in units of the low digit: what rounding the scaled row to float32, and measuring the rest, may hide."""

_STEPS = 128
"""Steps per unit of the low digit, in which the rest is measured in integers."""

_PANEL, _MANY, _TILE = 640, 4096, 512
"""Rows and items that are timed to choose a tile, and the items of the smaller tile."""

_TRIES = 3

_WORTH = 0.93
"""Share of the time below which more tiles are worth their own cost."""

_TINY_ROWS = 2.0**-100
_TINY = int(np.float32(_TINY_ROWS).view(np.int32))
"""Rows whose elements are all smaller get zeros for digits, and are all rest."""


@attrs.frozen(eq=False)
class Int8Split:
    """Rows as two digits: ``scale * (high + low / INT8_BASE)`` plus a rest.

    Attributes:
        high, low: i8[n, D], the digits.
        scale: f64[n].
        rest, low_norms: f64[n], bounds of the norms of the rest and of ``scale * low / INT8_BASE``.
    """

    high: torch.Tensor
    low: torch.Tensor
    scale: torch.Tensor
    rest: torch.Tensor
    low_norms: torch.Tensor


@compiled("void(i8, i8, i8, f4[:, ::1], i4[:, ::1], i1[:, ::1], i1[:, ::1], f8[::1], f8[::1], f8[::1])")
def _split_int8(start, stop, columns, x, bits, high, low, scale, rest, low_norms):  # type: ignore[no-untyped-def]
    """The digits of some rows. `bits` are those of `x`; adding and subtracting `magic` rounds to an integer."""
    magic, base = np.float32(1.5 * 2**23), np.float32(INT8_BASE)
    slack, steps = _SLACK * np.sqrt(columns), np.float32(_STEPS)
    for row in range(start, stop):
        most = np.int32(0)
        for column in range(columns):
            most = max(most, np.int32(bits[row, column] & np.int32(0x7FFFFFFF)))  # Sorts as absolute values do.
        if most < _TINY:
            high[row], low[row], scale[row], low_norms[row] = 0, 0, _TINY_ROWS, 0.0
            rest[row] = _TINY_ROWS * np.sqrt(columns)
            continue
        shrink = np.float32(127) / np.int32(most).view(np.float32)
        squares, left = np.int32(0), np.int32(0)
        for column in range(columns):
            scaled = np.float32(x[row, column] * shrink)
            first = np.float32(np.float32(scaled + magic) - magic)
            more = np.float32(np.float32(scaled - first) * base)
            second = np.float32(np.float32(more + magic) - magic)
            high[row, column] = np.int8(np.int32(first))
            low[row, column] = np.int8(np.int32(second))
            squares = np.int32(squares + np.int32(second) * np.int32(second))
            beyond = np.int32(np.float32(np.float32(more - second) * steps))
            left = np.int32(left + beyond * beyond)
        scale[row] = 1 / np.float64(shrink)
        rest[row] = scale[row] * (np.sqrt(left) / _STEPS + slack) / INT8_BASE
        low_norms[row] = scale[row] * np.sqrt(squares) / INT8_BASE


def split_int8(x: torch.Tensor, workers: Workers) -> Int8Split:
    """Two digits for each element of f32[n, D], relative to the largest element of its row."""
    x = x.contiguous()
    # torch 2.6 multiplies int8 rows of one element wrongly, so a zero stands beside it.
    high, low = torch.zeros(2, len(x), max(2, x.shape[1]), dtype=torch.int8)
    scale, rest, low_norms = torch.empty(3, len(x), dtype=torch.float64)
    arrays = [part.numpy() for part in (x, x.view(torch.int32), high, low, scale, rest, low_norms)]
    workers.share(lambda start, stop: _split_int8(start, stop, x.shape[1], *arrays), len(x), x.shape[1])
    return Int8Split(high=high, low=low, scale=scale, rest=rest, low_norms=low_norms)


def multiplied(pairs: list[tuple[torch.Tensor, torch.Tensor]], scratch: ScratchBuffer) -> torch.Tensor:
    """i32[3, n, m] in the scratch buffer: products of three pairs of i8[n, D] and i8[m, D], in the order given.

    All items of the tile are multiplied at once; `items_at_once` says how many these should be.
    """
    rows, items = len(pairs[0][0]), len(pairs[0][1])
    sums = scratch.take(3 * rows * items).view(3, rows, items)
    for (one, other), found in zip(pairs, sums, strict=True):
        torch._int_mm(one, other.T, out=found)
    return sums


@cache
def items_at_once(columns: int) -> int:
    """How many items of a tile int8 products take at once; settled by one measurement per process and row length.

    On a processor with AMX, tiles of 512 items were 13 % faster at 2,048 columns, as their sums stay in the cache, so
    both sizes are timed there, in turns. On one without AMX (an AMD EPYC), smaller tiles made an evaluation 6 % slower
    at 2,048 columns and 13 % at 512, so nothing is timed.
    """
    if not processor_has("amx_int8"):
        return _MANY
    x, y = (torch.ones(count, columns, dtype=torch.int8) for count in (_PANEL, _MANY))
    seconds = dict.fromkeys((_MANY, _TILE), math.inf)
    for _ in range(_TRIES):
        for items in seconds:
            found = [torch.empty(_PANEL, items, dtype=torch.int32) for _ in range(_MANY // items)]
            started = time.perf_counter()
            for number, out in enumerate(found):
                torch._int_mm(x, y[number * items : (number + 1) * items].T, out=out)
            seconds[items] = min(seconds[items], time.perf_counter() - started)
    return _TILE if seconds[_TILE] < _WORTH * seconds[_MANY] else _MANY
