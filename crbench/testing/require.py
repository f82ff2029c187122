"""What several checks demand of arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crbench.registry.settings import undoing_changes


def require(condition: bool, message: str) -> None:
    """Raise `AssertionError` with `message` unless `condition` holds; a plain assert vanishes under ``python -O``."""
    if not condition:
        raise AssertionError(message)


def same(left: Tensor, right: Tensor) -> bool:
    """Whether two tensors are equal bit for bit; NaN equals NaN, which only the check for finite values is about."""
    if left.shape != right.shape or not torch.equal(left.isnan(), right.isnan()):
        return False
    return torch.equal(left[~left.isnan()], right[~right.isnan()])


def another_order(count: int) -> NDArray[np.int64]:
    """A drawn order of `count` rows, which reversing or shifting them does not undo."""
    return np.random.default_rng(0).permutation(count)


def are_tensors(state: Mapping[str, object]) -> bool:
    """Whether a mapping holds tensors by name."""
    return all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items())


def require_dims(dims: Tensor | None, count: int, columns: int) -> None:
    """Lengths i64[count] from 1 to `columns`, or None."""
    if dims is None:
        return
    shape = dims.dtype == torch.int64 and tuple(dims.shape) == (count,)
    require(
        shape and bool(((dims > 0) & (dims <= columns)).all()),
        f"dims must be int64 of shape ({count},) between 1 and {columns}",
    )


@contextmanager
def no_global_change(what: str) -> Iterator[None]:
    """Raise `AssertionError` where the block changes a setting of the process, such as a seed or the number of threads.

    Whatever was changed is put back.
    """
    changes: list[str] = []
    with undoing_changes(changes.append):
        yield
    require(not changes, f"{what} sets {', '.join(changes)} for the whole process; leave it as it is")


@contextmanager
def global_seeds(seed: int) -> Iterator[None]:
    """Other global random states inside; the ones before are put back."""
    legacy = np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(legacy)
