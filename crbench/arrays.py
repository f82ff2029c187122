"""The one module that asks which library an array belongs to; everything behind it sees torch tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crbench.errors import EvaluationError

if TYPE_CHECKING:
    import torch


Array: TypeAlias = Any
"""A NumPy, torch or CuPy array; at the plugin border always a torch float32 tensor on ``run.device``."""

_MOST = np.iinfo(np.int64).max

_ROWS = 1024
"""Rows that are compared in one go."""


def to_torch(x: Array, device: str | torch.device | None = None) -> torch.Tensor:
    """Features as a contiguous float32 torch tensor, without a copy where that is possible.

    Recognised without importing their library: torch tensors, NumPy arrays (read-only, strided and byte-swapped ones
    too), whatever speaks DLPack (CuPy, JAX), and nested sequences of numbers. Half precision is widened and float64 is
    rounded to float32, the precision that features have by contract. What is read-only is copied: map files that are
    larger than memory with ``numpy.memmap(..., mode="c")``, which cannot change them either.

    Args:
        x: floating-point numbers [n, D].
        device: where to put them; None leaves them where they are.

    Returns:
        f32[n, D], detached from any graph; it may share memory with `x`.

    Raises:
        EvaluationError: not two-dimensional, not floating-point, or not an array at all.

    Example:
        >>> import numpy as np
        >>> to_torch(np.ones((2, 3), dtype=np.float16)).dtype
        torch.float32
    """
    import torch

    return as_floats(x).to(device=device, dtype=torch.float32).contiguous()


def to_features(x: Array) -> torch.Tensor:
    """Features to be compared: float32 as `to_torch` makes them, float64 where float32 would change a value.

    Features far from the origin, such as 1000 + noise, differ in digits that float32 does not have.

    Returns:
        f32[n, D] or f64[n, D]. Values of float64 are in the range of float32: below its smallest number they are 0, and
        what is beyond its largest makes float32 of all, with infinity there.

    Raises:
        EvaluationError: see `to_torch`.

    Example:
        >>> to_features([[0.5, 1000.0]]).dtype, to_features([[0.1, 1000.00001]]).dtype
        (torch.float32, torch.float64)
    """
    import torch

    tensor = as_floats(x)
    if tensor.dtype != torch.float64:
        return to_torch(tensor)
    narrow = tensor.float()
    changed = vanished = beyond = False
    for start in range(0, len(tensor), _ROWS):
        wide, short = tensor[start : start + _ROWS], narrow[start : start + _ROWS]
        changed |= bool(((short.double() != wide) & ~wide.isnan()).any())
        vanished |= bool(((short == 0) & (wide != 0)).any())
        beyond |= bool((short.isinf() & ~wide.isinf()).any())
    if beyond or not changed:
        return narrow.contiguous()
    return (tensor.masked_fill(narrow == 0, 0.0) if vanished else tensor).contiguous()


def to_integers(x: Array, name: str) -> NDArray[np.int64]:
    """Integer labels of any library as i64[n] in NumPy.

    Raises:
        EvaluationError: not integers, not one-dimensional; the message calls them `name`.

    Example:
        >>> to_integers([3, 1], "pids")
        array([3, 1])
    """
    try:
        array = as_int64(x.cpu() if hasattr(x, "cpu") else x.get() if hasattr(x, "get") else x, name)
    except ValueError as error:
        raise EvaluationError(str(error)) from error
    if array.ndim != 1:
        raise EvaluationError(f"{name} have shape {array.shape}; expected one dimension")
    return array


def as_int64(x: ArrayLike, name: str) -> NDArray[np.int64]:
    """A copy of integers of any shape as int64; nothing is bent to an integer (no 1.7, no True, no ``"1_2"``).

    Raises:
        ValueError: not integers, or beyond 64 bits; the message calls them `name`.

    Example:
        >>> as_int64(np.array([1, 2], dtype=np.uint8), "camids")
        array([1, 2])
    """
    array = np.asarray(x)
    if array.size == 0 and array.dtype.kind == "f":  # an empty list
        return array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise ValueError(f"{name} are {array.dtype}; expected integers of 64 bits")
    if array.dtype.kind == "u" and array.max(initial=0) > _MOST:
        raise ValueError(f"{name} hold {array.max()}; expected at most 2^63 - 1")
    return array.astype(np.int64)


def sqrt(x: Array) -> Array:
    """Square root of each element of f64[n], correctly rounded, in the library of `x`."""
    if isinstance(x, np.ndarray | np.generic):
        return np.sqrt(x)
    import torch

    # torch's own is not: measured with 2.15 on AVX-512, one root in 80 is off by one unit in the last place
    return torch.from_numpy(np.sqrt(x.cpu().numpy())).to(x.device)


def as_floats(x: Array) -> torch.Tensor:
    """A tensor of any library's floating-point numbers [n, D], without a copy where that is possible.

    Raises:
        EvaluationError: see `to_torch`.
    """
    import torch

    if isinstance(x, torch.Tensor):
        tensor = x.detach()
    elif not isinstance(x, np.ndarray) and hasattr(x, "__dlpack__"):
        tensor = _by_dlpack(x)
    else:
        tensor = _from_numpy(x)
    if tensor.ndim != 2:
        raise EvaluationError(f"features have shape {tuple(tensor.shape)}; expected two dimensions, (rows, D)")
    if not tensor.is_floating_point():
        raise EvaluationError(
            f"features are {_dtype_name(tensor)}; expected floating-point numbers, convert them first"
        )
    return tensor


def _from_numpy(x: Any) -> torch.Tensor:
    import torch

    if isinstance(x, np.ma.MaskedArray):  # what is masked would be taken for values
        raise EvaluationError("features are a masked array; fill it first, or leave out its rows")
    array = np.asarray(x)
    if array.dtype.kind != "f":
        raise EvaluationError(f"features are {array.dtype}; expected floating-point numbers, convert them first")
    kind = np.float32 if array.dtype.itemsize <= np.float32().itemsize else np.float64
    if array.dtype != kind or not array.dtype.isnative:
        with np.errstate(over="ignore"):  # what leaves the range becomes inf, and evaluate names its row
            array = array.astype(kind)
    array = np.ascontiguousarray(array)
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _by_dlpack(x: Any) -> torch.Tensor:
    from torch.utils.dlpack import from_dlpack

    try:
        return from_dlpack(x)
    except (BufferError, RuntimeError) as error:
        raise EvaluationError(f"features of type {type(x).__name__} cannot be shared by DLPack: {error}") from error


def _dtype_name(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
