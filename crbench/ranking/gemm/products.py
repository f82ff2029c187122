"""Matrix products in several precisions, and by how much each may be wrong.

A row x is written as ``scale * (hi + lo) + rest``, and a product leaves out ``lo . lo`` and all that meets a rest:

==========  ======================================  ===========================  =======================
precision   hi (and lo)                             norm of rest                 accumulation
==========  ======================================  ===========================  =======================
``fp32``    x                                       0                            float32, IEEE
``tf32``    x, of which hardware keeps 11 bits      at most ``2**-10 |x|``       float32
``bf16``    x rounded to 8 bits                     at most ``2**-8 |x|``        float32
``bf16x3``  x and its remainder, 8 bits each        at most ``2**-16 |x|``       float32
``int8``    two digits of 8 bits to the base 254    ``0.52 sqrt(n)`` last digits  int32, exact
==========  ======================================  ===========================  =======================

Why the band holds. Let u = 2**-24, g(k) = k u / (1 - k u), n the number of columns, a and b two rows.

1. For the parts that are multiplied, the Cauchy-Schwarz inequality gives
   ``abs(a.b - computed) <= |rest_a| (|b| + |rest_b|) + |a| |rest_b| + |lo_a| |lo_b| + accumulation``.
2. A float32 sum of k products, in whatever order the library sums and with or without fused multiply-add, errs by at
   most ``g(k) |a| |b|`` (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1), where k = n, or 3 n for
   three products that are added up. Where columns are multiplied in spans of s and the sums of m = ceil(n / s) spans
   added up, no term passes through more than k = s + m roundings (Higham, section 4.2: blocked sums).
   Products of 8 or 11 bits are exact in float32. Tensor cores cut sums off instead of rounding them, and align
   several terms at once, so four times as much is allowed for them. Sums of int8 products are exact, as 127**2 n <
   2**31 is asked for; they are rounded to float32 once. Six roundings more are allowed for the factors that turn a
   product into a score.
3. What remains is absolute: underflow in float32, flushed to zero or not. Norms are between 2**-40 and 2**40, or rows
   are multiplied by a power of two first, so with norms brought to 1 it is far under 2**-40, the slack of a tile.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import attrs
import numpy as np
import torch

from crbench import linear
from crbench.ranking.gemm import INT8_BASE
from crbench.ranking.threads import ScratchBuffer, Workers, even_slices

ROUNDOFF = 2.0**-24
ROUNDINGS = 6
"""Allowed for what makes a score of a product."""

INT8_COLUMNS = 1 << 16
"""Longest rows whose int8 products cannot leave int32: the second one has twice as many terms."""

K_BLOCKED = "fp32 in K-blocks"
"""Products of float32 on the CPU that are made of some columns at a time: slower, and wrong by less."""

K_BLOCK = 512
"""Columns at a time."""

_SUMS_AS_FLOAT32 = hasattr(torch.ops.aten.mm, "dtype")  # torch 2.8

_SAFE_RANGE = 2.0**40
_LEFT_OUT = {"fp32": 0.0, K_BLOCKED: 0.0, "tf32": 2.0**-10, "bf16": 2.0**-8, "bf16x3": 2.0**-16}
_BF16_LOW = 2.0**-8 * (1 + 2.0**-8)


@attrs.frozen(eq=False)
class Operand:
    """Rows, ready to be multiplied; the row x is ``scale * (hi + lo) + rest``.

    Attributes:
        parts: hi and, unless it is 0, lo: [n, D] f32, or i8 with lo in units of ``1 / INT8_BASE``.
        scale: f64[n].
        norms, rest, low: f64[n], norms of x, of the rest and of ``scale * lo``; bounds for the latter two.
    """

    parts: tuple[torch.Tensor, ...]
    scale: torch.Tensor
    norms: torch.Tensor
    rest: torch.Tensor
    low: torch.Tensor


def operand(
    x: torch.Tensor,
    norms: torch.Tensor,
    precision: str,
    scales: torch.Tensor | None,
    workers: Workers,
) -> Operand:
    """Rows f32[n, D] of given norms f64[n] for a product.

    Args:
        scales: f64[n], powers of two by which rows must be divided, if they must; see `in_safe_range`.
    """
    zero = torch.zeros_like(norms)
    if precision == "int8":
        from crbench.ranking.gemm.int8 import split_int8

        found = split_int8(x, workers)
        return Operand((found.high, found.low), found.last, norms, rest=found.rest, low=found.low_norms)
    if scales is None:
        scales = torch.ones_like(norms)
    else:
        x = (x.double() / scales[:, None]).float()
    rest = norms * _LEFT_OUT[precision]
    if precision in ("fp32", K_BLOCKED, "tf32"):
        return Operand((x,), scales, norms, rest=rest, low=zero)
    hi = x.bfloat16().float()
    if precision == "bf16":
        return Operand((hi,), scales, norms, rest=rest, low=zero)
    return Operand((hi, (x - hi).bfloat16().float()), scales, norms, rest=rest, low=norms * _BF16_LOW)


def product(a: Operand, rows: slice, b: Operand, precision: str, scratch: ScratchBuffer) -> torch.Tensor:
    """Inner products of some rows of `a` and all of `b`, over both scales and as the precision gives them.

    On the CPU, ``matmul_precision("ieee")`` is to be in force: it is the process's, not a thread's.

    Returns:
        f32[r, m]; of int8 sums i32[3, r, m] in the room, which `floats` puts together.
    """
    pairs = [(one[rows], other) for one, other in _pairs(a.parts, b.parts)]
    if a.parts[0].device.type == "cuda":
        with matmul_precision("tf32" if precision == "tf32" else "ieee"), torch.autocast("cuda", enabled=False):
            multiply = _float_product if precision in ("fp32", "tf32") else _bf16_product
            return _summed(multiply(*pair) for pair in pairs)
    if precision == "int8":
        from crbench.ranking.gemm.int8 import multiplied

        return multiplied(pairs, scratch)
    columns = pairs[0][0].shape[1]
    spans = even_slices(columns, K_BLOCK if precision == K_BLOCKED else columns)
    return _summed(
        _multiplied(one[:, span], other[:, span].contiguous()) for (one, other), span in itertools.product(pairs, spans)
    )


def floats(products: torch.Tensor) -> torch.Tensor:
    """f32[n, m] of products; sums of two digits are in units of the first one.

    Args:
        products: f32[n, m], or sums i32[3, n, m] of first digits, and of first with second ones and second with first.
    """
    if products.dtype == torch.float32:
        return products
    high, cross, other = products
    found: torch.Tensor = (cross + other).float().div_(INT8_BASE).add_(high)  # in place, as tiles fill the budget
    return found


def accumulated(columns: int, precision: str) -> float:
    """The share of ``|a| |b|`` by which summation may be wrong, with the roundings that make a score of a product."""
    spans = min(columns, K_BLOCK) + -(-columns // K_BLOCK)
    terms = {"int8": 4, "fp32": columns, K_BLOCKED: spans, "bf16x3": 12 * columns}.get(precision, 4 * columns)
    return rounded(terms + ROUNDINGS)


def rounded(count: int) -> float:
    """By which share a value may be wrong after so many float32 roundings."""
    return count * ROUNDOFF / (1 - count * ROUNDOFF)


def in_safe_range(norms: torch.Tensor) -> bool:
    """Whether products of rows of such norms, f64[n], neither overflow nor underflow."""
    return bool(((norms > 1 / _SAFE_RANGE) & (norms < _SAFE_RANGE)).all())


def powers(norms: torch.Tensor) -> torch.Tensor:
    """f64[n], powers of two that bring rows of such norms below 1."""
    return torch.ldexp(torch.ones_like(norms), torch.frexp(norms).exponent)


def _pairs(a: Sequence[torch.Tensor], b: Sequence[torch.Tensor]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The parts that are multiplied, all but ``lo . lo``."""
    return [(one, other) for i, one in enumerate(a) for j, other in enumerate(b) if i + j < 2]


def _summed(parts: Iterator[torch.Tensor]) -> torch.Tensor:
    found = next(parts)
    for part in parts:
        found += part
    return found


def _multiplied(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """f32[n, m], the inner products of rows f32[n, D] and f32[m, D], by the library that is fastest here."""
    if linear.is_fastest():
        return linear.linear(a, b)
    with np.errstate(all="ignore"):  # underflow is part of the band
        return torch.from_numpy(a.numpy() @ b.numpy().T)


def _float_product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return a @ b.T


def _bf16_product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """f32[n, m] of bf16 values as f32; by tensor cores where torch can give their float32 sums."""
    if _SUMS_AS_FLOAT32:
        found: torch.Tensor = torch.mm(a.bfloat16(), b.bfloat16().T, out_dtype=torch.float32)
        return found
    return a @ b.T


@contextmanager
def matmul_precision(wanted: str) -> Iterator[None]:
    """Matrix products of float32 with (``tf32``) or without (``ieee``) TF32, whatever the process has chosen."""
    if not hasattr(torch.backends.mkldnn, "matmul"):  # torch < 2.9
        chosen = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest" if wanted == "ieee" else "high")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(chosen)
        return
    backends = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul
    precisions = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = wanted if backend is torch.backends.cuda.matmul else "ieee"
        yield
    finally:
        for backend, precision in zip(backends, precisions, strict=True):
            backend.fp32_precision = precision
