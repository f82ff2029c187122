"""Matrix products in several precisions, and by how much each may be wrong.

A row x is written as ``scale * (hi + lo) + rest``. A product leaves out ``lo . lo`` and all terms with a rest:

==========  ======================================  ===========================  =======================
precision   hi (and lo)                             norm of rest                 accumulation
==========  ======================================  ===========================  =======================
``fp32``    x                                       0                            float32, IEEE
``tf32``    x, of which hardware keeps 11 bits      at most ``2**-10 |x|``       float32
``bf16``    x rounded to 8 bits                     at most ``2**-8 |x|``        float32
``bf16x3``  x and its remainder, 8 bits each        at most ``2**-16 |x|``       float32
``int8``    two int8 digits of base 254             ``0.52 sqrt(n)`` last digits  int32, exact
==========  ======================================  ===========================  =======================

Why the error bounds hold. Let u = 2**-24, g(k) = k u / (1 - k u), n the number of columns, a and b two rows.

1. For the parts that are multiplied, the Cauchy-Schwarz inequality gives
   ``abs(a.b - computed) <= |rest_a| (|b| + |rest_b|) + |a| |rest_b| + |lo_a| |lo_b| + accumulation``.
2. A float32 sum of k products, in whatever order the library sums and with or without fused multiply-add, errs by at
   most ``g(k) |a| |b|`` (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1), where k = n, or 3 n for
   three products that are added up. Where columns are multiplied in K-blocks of s and the sums of m = ceil(n / s)
   K-blocks added up, no term passes through more than k = s + m roundings (Higham, section 4.2: blocked sums).
   Products of 8 or 11 bits are exact in float32. Tensor cores truncate sums instead of rounding them, and align
   several terms at once, so four times as much is allowed for them. Sums of int8 products are exact, as rows are short
   enough for 127**2 n < 2**31; they are rounded to float32 once. Six roundings more are allowed for the factors that
   turn a product into a score.
3. What remains is absolute: underflow in float32, flushed to zero or not. Norms are between 2**-40 and 2**40, or rows
   are divided by a power of two first, so relative to the norms it is far under 2**-40, the slack of an error bound.
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
"""Float32 roundings allowed for turning a product into a score."""

INT8_COLUMNS = 1 << 16
"""Longest rows whose int8 products cannot overflow int32; the two products of unlike digits are added up in it."""

K_BLOCKED = "fp32 in K-blocks"
"""Products of float32 on the CPU that are summed up from K-blocks: slower, with a smaller error bound."""

K_BLOCK = 512
"""Columns of a K-block."""

_SUMS_AS_FLOAT32 = hasattr(torch.ops.aten.mm, "dtype")  # torch 2.8

_SAFE_RANGE = 2.0**40
_LEFT_OUT = {"fp32": 0.0, K_BLOCKED: 0.0, "tf32": 2.0**-10, "bf16": 2.0**-8, "bf16x3": 2.0**-16}
_BF16_LOW = 2.0**-8 * (1 + 2.0**-8)


@attrs.frozen(eq=False)
class Operand:
    """One side of a product: rows x written as ``scale * (hi + lo) + rest``.

    Attributes:
        parts: hi and, unless it is 0, lo: [n, D] f32, or i8 with lo in units of ``1 / INT8_BASE``.
        scale: f64[n].
        norms, rest, low: f64[n], the norms of x, and bounds of the norms of the rest and of ``scale * lo``.
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
    """The operand made of rows f32[n, D], or f64[n, D] that are rounded to float32, whose norms are f64[n].

    Args:
        scales: f64[n], powers of two to divide the rows by; None = the norms are in the safe exponent range, see
            `in_safe_range`.
    """
    zero = torch.zeros_like(norms)
    if scales is not None:
        x = x.double() / scales[:, None] if precision != "int8" else x
    x = x.float()
    if precision == "int8":
        from crbench.ranking.gemm.int8 import split_int8

        found = split_int8(x, workers)
        return Operand((found.high, found.low), found.scale, norms, rest=found.rest, low=found.low_norms)
    scales = torch.ones_like(norms) if scales is None else scales
    rest = norms * _LEFT_OUT[precision]
    if precision in ("fp32", K_BLOCKED, "tf32"):
        return Operand((x,), scales, norms, rest=rest, low=zero)
    hi = x.bfloat16().float()
    if precision == "bf16":
        return Operand((hi,), scales, norms, rest=rest, low=zero)
    return Operand((hi, (x - hi).bfloat16().float()), scales, norms, rest=rest, low=norms * _BF16_LOW)


def product(a: Operand, rows: slice, b: Operand, precision: str, scratch: ScratchBuffer) -> torch.Tensor:
    """Inner products of some rows of `a` and all rows of `b`, divided by both scales.

    On the CPU, the caller must be inside ``matmul_precision("ieee")``, a setting of the process, not of a thread.

    Returns:
        f32[r, m]; for int8 three sums i32[3, r, m] in the scratch buffer, see `floats`.
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
    k_blocks = even_slices(columns, K_BLOCK if precision == K_BLOCKED else columns)
    return _summed(
        _multiplied(one[:, block], other[:, block].contiguous())
        for (one, other), block in itertools.product(pairs, k_blocks)
    )


def floats(products: torch.Tensor) -> torch.Tensor:
    """f32[n, m], what `product` gives, as floats.

    Args:
        products: f32[n, m], or for int8 the sums i32[3, n, m] of high with high digits, high with low, low with high.
    """
    if products.dtype == torch.float32:
        return products
    high, cross, other = products
    # In place, as tiles fill the memory budget.
    found: torch.Tensor = (cross + other).float().div_(INT8_BASE).add_(high)
    return found


def accumulated(columns: int, precision: str) -> float:
    """The share of ``|a| |b|`` by which summation, and turning a product into a score, may be wrong."""
    blocked = min(columns, K_BLOCK) + -(-columns // K_BLOCK)
    terms = {"int8": 4, "fp32": columns, K_BLOCKED: blocked, "bf16x3": 12 * columns}.get(precision, 4 * columns)
    return rounded(terms + ROUNDINGS)


def rounded(count: int) -> float:
    """The share by which a value may be wrong after so many float32 roundings: g(count) above."""
    return count * ROUNDOFF / (1 - count * ROUNDOFF)


def in_safe_range(norms: torch.Tensor) -> bool:
    """Whether products of rows of such norms, f64[n], neither overflow nor underflow."""
    return bool(((norms > 1 / _SAFE_RANGE) & (norms < _SAFE_RANGE)).all())


def powers(norms: torch.Tensor) -> torch.Tensor:
    """f64[n], powers of two that bring rows of such norms below 1."""
    return torch.ldexp(torch.ones_like(norms), torch.frexp(norms).exponent)


def _pairs(a: Sequence[torch.Tensor], b: Sequence[torch.Tensor]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The pairs of parts that are multiplied, all but ``lo . lo``."""
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
    with np.errstate(all="ignore"):  # The error bound covers underflow.
        return torch.from_numpy(a.numpy() @ b.numpy().T)


def _float_product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return a @ b.T


def _bf16_product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """f32[n, m], products of bf16 values stored as f32; by tensor cores where torch can give their float32 sums."""
    if _SUMS_AS_FLOAT32:
        found: torch.Tensor = torch.mm(a.bfloat16(), b.bfloat16().T, out_dtype=torch.float32)
        return found
    return a @ b.T


@contextmanager
def matmul_precision(wanted: str) -> Iterator[None]:
    """Inside, float32 products use TF32 on CUDA (``tf32``) or none (``ieee``), whatever the process has chosen."""
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
