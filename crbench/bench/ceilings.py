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

_COPY_BYTES = {"cpu": 1 << 28, "cuda": 1 << 31}
"""Read and written together."""

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

    They are measured before the first stage and after the last one, see `best` and `drift`.

    Attributes:
        bytes_per_s: of a copy within the device's memory, read and write together.
        flop_per_s: of a large square matrix product, by precision; a multiplication and an addition are two operations.
    """

    bytes_per_s: float
    flop_per_s: Mapping[str, float]

    def best(self, other: Ceilings) -> Ceilings:
        """The higher rates of two measurements."""
        flops = {name: max(rate, other.flop_per_s[name]) for name, rate in self.flop_per_s.items()}
        return Ceilings(bytes_per_s=max(self.bytes_per_s, other.bytes_per_s), flop_per_s=flops)

    def drift(self, other: Ceilings) -> float:
        """By how much the rates of two measurements differ, as a fraction of the lower one; the largest difference.

        Example:
            >>> slow, fast = (Ceilings(bytes_per_s=rate, flop_per_s={"fp32": 1.0}) for rate in (2.0, 3.0))
            >>> slow.drift(fast)
            0.5
        """
        pairs = [(rate, other.flop_per_s[name]) for name, rate in self.flop_per_s.items()]
        return max(max(pair) / min(pair) - 1 for pair in [*pairs, (self.bytes_per_s, other.bytes_per_s)])


def measure_ceilings(device: str, *, spread: float, budget_s: float) -> Ceilings:
    """Measure the ceilings of a device, each for `budget_s` at most (and ten repeats at least)."""
    kind = "cuda" if device.startswith("cuda") else "cpu"
    copies = copy_rate(_COPY_BYTES[kind], device, spread=spread, budget_s=budget_s)
    side, rates = _SIDE[kind], {}
    for precision in _PRECISIONS[kind]:
        a, b = (torch.randn(side, side, device=device).to(_DTYPES[precision]) for _ in range(2))
        multiply = fastest_product(kind) if precision == "fp32" else _torch_product
        with tf32(precision == "tf32"):
            product = repeat(partial(multiply, a, b, torch.empty_like(a)), device, spread=spread, budget_s=budget_s)
        rates[precision] = 2 * side**3 / product.fastest
    return Ceilings(bytes_per_s=copies, flop_per_s=rates)


def copy_rate(count: int, device: str, *, spread: float, budget_s: float) -> float:
    """Bytes per second of a copy within the device's memory that reads and writes `count` bytes in all.

    A few bytes stay in the caches of a processor and are copied many times as fast as many: what a stage attains is
    compared with a copy of as many bytes as it moves.
    """
    source = torch.ones(max(1, count // 2), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copy = repeat(lambda: target.copy_(source), device, spread=spread, budget_s=budget_s)
    return 2 * source.nbytes / copy.fastest


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
    return min(known, key=lambda product: repeat(partial(product, *work), kind, spread=0.1, budget_s=0.5).fastest)


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
