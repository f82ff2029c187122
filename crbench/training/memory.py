"""After running out of memory: find a batch size that fits, so that the error message can name it."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import torch

from crbench.training.objective import TrainBatch


def first_rows(batch: TrainBatch, count: int) -> TrainBatch:
    """The first `count` images of a batch."""
    return TrainBatch(*(getattr(batch, field.name)[:count] for field in attrs.fields(TrainBatch)))


def largest_fitting(batch: TrainBatch, step: Callable[[TrainBatch], object], *, multiple: int) -> int | None:
    """How many images of `batch` fit into memory: a half, a quarter and so on are tried with a whole update each.

    Args:
        step: one update, which ran out of memory with all images. Every try changes the weights.
        multiple: all sizes tried are multiples of it, and at least twice it.

    Returns:
        None where not even twice `multiple` fits.
    """
    count = len(batch.labels) // 2
    while count >= 2 * multiple:
        count -= count % multiple
        if _fits(first_rows(batch, count), step):
            return count
        count //= 2
    return None


def _fits(batch: TrainBatch, step: Callable[[TrainBatch], object]) -> bool:
    if batch.inputs.is_cuda:
        torch.cuda.empty_cache()
    try:
        step(batch)
    except torch.cuda.OutOfMemoryError:
        return False
    return True
