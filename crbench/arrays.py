"""The one module that asks which library an array belongs to; everything behind it sees torch tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crbench.errors import EvaluationError
from crbench.records import Array, Features, Samples

if TYPE_CHECKING:
    import torch


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
    return tensor.to(device=device, dtype=torch.float32).contiguous()


def to_integers(x: Array, name: str) -> NDArray[np.int64]:
    """Integer labels of any library as i64[n] in NumPy.

    Raises:
        EvaluationError: not integers, not one-dimensional; the message calls them `name`.

    Example:
        >>> to_integers([3, 1], "pids")
        array([3, 1])
    """
    array = np.asarray(x.cpu() if hasattr(x, "cpu") else x.get() if hasattr(x, "get") else x)
    if array.dtype.kind not in "iu":
        raise EvaluationError(f"{name} are {array.dtype}; expected integers")
    if array.ndim != 1:
        raise EvaluationError(f"{name} have shape {array.shape}; expected one dimension")
    return array.astype(np.int64)


def sqrt(x: Array) -> Array:
    """Square root of each element of f64[n], correctly rounded, in the library of `x`."""
    if isinstance(x, np.ndarray | np.generic):
        return np.sqrt(x)
    import torch

    # torch's own is not: measured with 2.15 on AVX-512, one root in 80 is off by one unit in the last place
    return torch.from_numpy(np.sqrt(x.cpu().numpy())).to(x.device)


def features_from_arrays(
    x: Array,
    pids: ArrayLike,
    *,
    camids: ArrayLike | None = None,
    rates: ArrayLike | None = None,
    dims: ArrayLike | None = None,
    keys: Sequence[str] | NDArray[np.str_] | None = None,
) -> Features:
    """`Features` from plain arrays, for `crbench.evaluate` in a notebook.

    Args:
        x: features [n, D], see `to_torch`.
        pids: person of each row; in a gallery -1 is junk, and 0 a distractor unless a query asks for person 0.
        camids: camera of each row; None = unknown, so that the same-camera rule removes nothing.
        rates: down-sampling rate of each row, or one for all; None = 1 (HR).
        dims: how many leading columns of each row count; None = all.
        keys: name of each row, used by Monte Carlo draws; None = the row's number.

    Raises:
        EvaluationError: a column of the wrong type or length.

    Example:
        >>> feats = features_from_arrays([[1.0, 0.0], [0.6, 0.8]], pids=[1, 2], rates=4)
        >>> len(feats), feats.rows.rates.tolist()
        (2, [4.0, 4.0])
    """
    tensor = to_torch(x)
    count = len(tensor)
    columns: dict[str, Any] = {"pids": to_integers(pids, "pids")}
    if camids is not None:
        columns["camids"] = to_integers(camids, "camids")
    if rates is not None:
        columns["rates"] = np.asarray(rates, dtype=np.float32)
    names = [str(index) for index in range(count)] if keys is None else keys
    try:
        rows = Samples(keys=names, **columns)
        return Features(x=tensor, rows=rows, dims=None if dims is None else to_integers(dims, "dims"))
    except ValueError as error:
        raise EvaluationError(str(error)) from error


def _from_numpy(x: Any) -> torch.Tensor:
    import torch

    array = np.asarray(x)
    if array.dtype.kind != "f":
        raise EvaluationError(f"features are {array.dtype}; expected floating-point numbers, convert them first")
    if array.dtype != np.float32 or not array.dtype.isnative:
        with np.errstate(over="ignore"):  # what leaves the range becomes inf, and evaluate names its row
            array = array.astype(np.float32)
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
