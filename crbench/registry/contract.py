"""What the features of a plugin must be; checked in every run, and by `crbench.testing` rule by rule."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import Parameter

TOLERANCE = 1e-4
"""How far the feature of a row may differ where only other rows of its batch are others, relative to the largest value.

Products of one shape round alike, so the methods that we know give equal bits. Statistics of a batch change features by
a hundred times as much.
"""

_OTHER_SEED = 1_620_610_981
"""One that nobody else is likely to choose."""


def fault(
    x: object,
    dims: object,
    *,
    count: int,
    device: torch.device,
    dtypes: tuple[torch.dtype, ...] = (torch.float32,),
    finite: bool = True,
) -> str | None:
    """What is wrong with features of a plugin, as the end of a message; None = nothing.

    Args:
        x: should be a tensor [count, D] of finite values, without gradient.
        dims: should be i64[count] from 1 to D, or None.
        device: where both should be; its number counts only where both have one.
        dtypes: those that `x` may have.
        finite: look at the values of `x`; False where somebody else does.
    """
    if not isinstance(x, Tensor) or type(x) not in (Tensor, Parameter):  # a subclass may answer as it likes
        return f"it gave a {type(x).__name__}; expected a torch tensor"
    if x.layout is not torch.strided:
        return f"it gave features of layout {_name(x.layout)}; expected a dense tensor"
    if x.ndim != 2 or len(x) != count or x.shape[1] == 0:
        return f"it gave features {tuple(x.shape)}; expected ({count}, D)"
    if x.dtype not in dtypes:
        return f"it gave {_name(x.dtype)} features; expected {' or '.join(map(_name, dtypes))}"
    if x.requires_grad:
        return "its features carry gradients; compute them under torch.no_grad()"
    if not _on(x, device):
        return f"its features are on {x.device}; expected them on {device}"
    if finite and not _finite(x):
        return "it gave NaN or infinite features"
    return _dims_fault(dims, count, x.shape[1], device)


def close(left: Tensor, right: Tensor) -> bool:
    """Whether two tensors agree within `TOLERANCE` of the largest finite value; NaN equals NaN, infinity infinity."""
    if left.shape != right.shape:
        return False
    left, right = left.detach(), right.detach()
    finite = right[right.isfinite()]
    size = float(finite.abs().max()) if finite.numel() else 0.0
    return torch.allclose(left, right, rtol=0, atol=TOLERANCE * size, equal_nan=True)


@contextmanager
def other_draws() -> Iterator[None]:
    """Inside, the generators of the process give other numbers: what draws from them is then not the same twice.

    They are put back after each call of a plugin, so two calls would draw the same.
    """
    state, mine, own = torch.get_rng_state(), np.random.get_state(), random.getstate()
    torch.default_generator.manual_seed(_OTHER_SEED)
    np.random.seed(_OTHER_SEED)
    random.seed(_OTHER_SEED)
    try:
        yield
    finally:
        torch.set_rng_state(state)
        np.random.set_state(mine)
        random.setstate(own)


def other_companions(rates: NDArray[np.float32]) -> NDArray[np.intp]:
    """Rows intp[n] to put in place of rows at these rates: the first, third, ... at a rate give way to the second.

    The others keep their places, and each place its rate, so that whatever is computed by rate keeps its shape.

    Example:
        >>> other_companions(np.array([1, 1, 1, 2, 1, 1], dtype=np.float32)).tolist()
        [1, 1, 1, 3, 4, 1]
    """
    _, group, sizes = np.unique(rates, return_inverse=True, return_counts=True)
    rows, starts = np.arange(len(rates)), np.cumsum(sizes) - sizes
    order = np.argsort(group, kind="stable")
    place = np.empty_like(rows)
    place[order] = rows - starts[group[order]]
    second = order[np.minimum(starts + 1, starts + sizes - 1)][group]
    return np.where(place % 2 == 0, second, rows)


def _dims_fault(dims: object, count: int, columns: int, device: torch.device) -> str | None:
    if dims is None:
        return None
    if not isinstance(dims, Tensor) or dims.dtype != torch.int64 or tuple(dims.shape) != (count,):
        return f"its dims are no int64 tensor of shape ({count},)"
    if not _on(dims, device):
        return f"its dims are on {dims.device}; expected them on {device}"
    if not bool(((dims >= 1) & (dims <= columns)).all()):
        return f"its dims are not all between 1 and {columns}"
    return None


def _finite(x: Tensor) -> bool:
    # A sum is several times faster than to look, and finite only if all values are; a sum of large ones may overflow.
    return bool(torch.isfinite(x.sum())) or bool(torch.isfinite(x).all())


def _on(tensor: Tensor, device: torch.device) -> bool:
    there = tensor.device  # a CPU may be called cpu:0, but its tensors say cpu
    return there.type == device.type and (None in (there.index, device.index) or there.index == device.index)


def _name(kind: torch.dtype | torch.layout) -> str:
    return str(kind).removeprefix("torch.")
