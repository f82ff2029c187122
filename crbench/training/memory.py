"""Out of memory: find a batch that fits, so that the message can say which."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import torch

from crbench.training.objective import TrainBatch


def first_rows(batch: TrainBatch, count: int) -> TrainBatch:
    """The first `count` images of a batch."""
    return TrainBatch(*(getattr(batch, field.name)[:count] for field in attrs.fields(TrainBatch)))


def largest_fitting(batch: TrainBatch, step: Callable[[TrainBatch], object], *, multiple: int) -> int | None:
    """How many images of `batch` fit: half of them, half of those and so on, each tried with a whole update.

    Args:
        step: one update, which ran out of memory with all images; it is called and so changes the weights.
        multiple: sizes tried are multiples of it, at least two of it.

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
