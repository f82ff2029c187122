"""Float32 matrix products by oneDNN, on processors where it is the fastest of torch's libraries.

torch calls MKL for them, which is slow on processors of other makes than Intel's. Measured on one core of an AMD EPYC
with AVX-512, in 10**9 multiplications a second: oneDNN 106, OpenBLAS (NumPy's, 0.3.31) 57, MKL 37.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear as linear_layer
from torch.overrides import TorchFunctionMode


@cache
def is_fastest() -> bool:
    """Whether torch has oneDNN and this processor has AVX-512, which makes oneDNN fast."""
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available and "AVX512" in torch.backends.cpu.get_cpu_capability()


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """f32[..., m], the inner products of rows f32[..., D] and f32[m, D] plus a bias, on the CPU, without a gradient.

    Args:
        weight: contiguous; otherwise this is a thousand times slower.
        bias: f32[m], added to each row.
    """
    found: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], None)
    return found


def flops() -> dict[Any, Callable[..., int]]:
    """How ``torch.utils.flop_counter`` counts `linear`, which it does not know: a function per operation."""

    def counted(x: Sequence[int], weight: Sequence[int], *_: object, **__: object) -> int:
        return 2 * math.prod(x) * weight[0]

    return {torch.ops.mkldnn._linear_pointwise: counted} if is_fastest() else {}


def linear_layers() -> AbstractContextManager[object]:
    """Inside, float32 linear layers on the CPU compute by oneDNN where it is the fastest.

    Measured on two cores of an AMD EPYC: ViT-B/16 at 224x224 extracts 7.8 images a second instead of 4.2. Results
    differ by roundings of float32. A network that is compiled, or runs under autocast, is left alone.
    """
    return _LinearLayers() if is_fastest() else nullcontext()


class _LinearLayers(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is linear_layer and not kwargs and _suits(*args[:2]):
            return linear(*args)
        return func(*args, **(kwargs or {}))


def _suits(x: Tensor, weight: Tensor) -> bool:
    """Whether `linear` can compute this layer, and is worth it."""
    if torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu"):
        return False
    plain = all(part.dtype == torch.float32 and part.device.type == "cpu" for part in (x, weight))
    # One row is as fast by any library.
    return plain and weight.is_contiguous() and x.numel() > x.shape[-1] and not torch.is_grad_enabled()
