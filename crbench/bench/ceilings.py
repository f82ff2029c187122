"""What the device can do at most: copies, and matrix products of each precision. Measured in the same run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial

import attrs
import numpy as np
import torch

from crbench import linear
from crbench.bench.repeat import repeat

_COPY_BYTES = {"cpu": 1 << 27, "cuda": 1 << 30}
_SIDE = {"cpu": 1536, "cuda": 8192}
Product = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], None]
"""Writes the product of the first matrix and the second, transposed, into the third."""

_DTYPES = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
_PRECISIONS = {"cpu": ("fp32", "bf16"), "cuda": ("fp32", "tf32", "bf16", "fp16")}


@attrs.frozen(kw_only=True)
class Ceilings:
    """Each is the rate of the fastest call: other work on the machine can lower a rate, and nothing can raise it.

    Attributes:
        bytes_per_s: of a copy within the device's memory, read and write together.
        flop_per_s: of a large square matrix product, by precision; a multiplication and an addition are two operations.
    """

    bytes_per_s: float
    flop_per_s: Mapping[str, float]


def measure_ceilings(device: str, *, spread: float, budget_s: float) -> Ceilings:
    """Measure the ceilings of a device, each for `budget_s` at most (and ten repeats at least)."""
    kind = "cuda" if device.startswith("cuda") else "cpu"
    source = torch.ones(_COPY_BYTES[kind] // 4, device=device)
    target = torch.empty_like(source)
    copy, _ = repeat(lambda: target.copy_(source), device, spread=spread, budget_s=budget_s)
    side, rates = _SIDE[kind], {}
    for precision in _PRECISIONS[kind]:
        a, b = (torch.randn(side, side, device=device).to(_DTYPES[precision]) for _ in range(2))
        multiply = fastest_product(kind) if precision == "fp32" else _torch_product
        with tf32(precision == "tf32"):
            product, _ = repeat(partial(multiply, a, b, torch.empty_like(a)), device, spread=spread, budget_s=budget_s)
        rates[precision] = 2 * side**3 / product.fastest
    return Ceilings(bytes_per_s=2 * source.nbytes / copy.fastest, flop_per_s=rates)


@cache
def fastest_product(kind: str) -> Product:
    """The float32 matrix product of the fastest library on this machine; `kind` is ``cpu`` or ``cuda``.

    Which of oneDNN, torch's and NumPy's libraries is the fastest depends on the make of the processor.
    """
    if kind != "cpu":
        return _torch_product
    work = torch.randn(3, _SIDE[kind], _SIDE[kind])
    known: tuple[Product, ...] = (_torch_product, numpy_product)
    known += (_onednn_product,) if linear.is_fastest() else ()
    return min(known, key=lambda product: repeat(partial(product, *work), kind, spread=0.1, budget_s=0.5)[0].fastest)


def _torch_product(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
    torch.mm(a, b.T, out=out)


def _onednn_product(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
    out.copy_(linear.linear(a, b))


def numpy_product(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
    """The product by NumPy's library, on the CPU."""
    np.matmul(a.numpy(), b.numpy().T, out=out.numpy())


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Let float32 products on CUDA use TF32, or not, inside the context; the setting before it is put back."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
