"""What the device can do at most, measured in the same run: copying, and the matrix product of each precision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import attrs
import torch

from crbench.bench.repeat import repeat

_COPY_BYTES = {"cpu": 1 << 27, "cuda": 1 << 30}
_SIDE = {"cpu": 1536, "cuda": 8192}
_DTYPES = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
_PRECISIONS = {"cpu": ("fp32", "bf16"), "cuda": ("fp32", "tf32", "bf16", "fp16")}


@attrs.frozen(kw_only=True)
class Ceilings:
    """Of the fastest call each: other work on the machine lowers a ceiling, and nothing raises it.

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
        with tf32(precision == "tf32"):
            product, _ = repeat(lambda a=a, b=b: a @ b, device, spread=spread, budget_s=budget_s)  # type: ignore[misc]
        rates[precision] = 2 * side**3 / product.fastest
    return Ceilings(bytes_per_s=2 * source.nbytes / copy.fastest, flop_per_s=rates)


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Whether float32 products on CUDA may use TF32, inside; the setting before is put back."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
