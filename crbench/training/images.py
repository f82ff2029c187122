"""Decoded training images at the network's input size: kept in memory if they fit, else read ahead by threads."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crbench.api.context import RunContext
from crbench.api.interfaces import Reader
from crbench.data.preprocess import Preprocess, image_array
from crbench.records import Row, Samples

MEMORY_BUDGET = 2 << 30
"""Largest size in bytes of decoded images that are kept in memory (13,000 images of 256x128 take 1.3 GB)."""

READ_AHEAD = 4
"""Number of batches that are read ahead when images are not kept."""


class Images:
    """The images of `rows`, u8[height, width, 3] each, in batches.

    Args:
        read: thread-safe. Images are decoded in threads, because Pillow releases the interpreter lock meanwhile.
        budget: in bytes. Images that fit are read once and kept; otherwise each epoch reads them again. The batches are
            the same bit for bit.
    """

    def __init__(
        self, rows: Samples, read: Reader, preprocess: Preprocess, *, run: RunContext, budget: int = MEMORY_BUDGET
    ) -> None:
        self._rows = rows
        self._read = read
        self._preprocess = preprocess
        self._kept = self._read_all(run) if len(rows) * math.prod((*preprocess.size, 3)) <= budget else None

    def batches(self, order: Iterable[NDArray[np.intp]]) -> Iterator[Tensor]:
        """The images of each index array of b rows, u8[b, height, width, 3]."""
        if self._kept is not None:
            for indices in order:
                yield self._kept[torch.from_numpy(indices)]
            return
        with ThreadPoolExecutor(_threads()) as pool:
            waiting: deque[list[Future[NDArray[np.uint8]]]] = deque()
            try:
                for indices in order:
                    waiting.append([pool.submit(self._decode, self._rows.row(int(index))) for index in indices])
                    if len(waiting) > READ_AHEAD:
                        yield _stack(waiting.popleft())
                while waiting:
                    yield _stack(waiting.popleft())
            finally:
                pool.shutdown(cancel_futures=True)

    def _read_all(self, run: RunContext) -> Tensor:
        kept = torch.empty((len(self._rows), *self._preprocess.size, 3), dtype=torch.uint8)
        target = kept.numpy()
        title = "read training images"
        with run.progress(len(self._rows), title, "image") as progress, ThreadPoolExecutor(_threads()) as pool:
            try:
                rows = (self._rows.row(index) for index in range(len(self._rows)))
                for index, image in enumerate(pool.map(self._decode, rows)):
                    target[index] = image
                    progress.advance()
            finally:
                pool.shutdown(cancel_futures=True)
        return kept

    def _decode(self, row: Row) -> NDArray[np.uint8]:
        return image_array(self._read(row), self._preprocess)


def _stack(futures: list[Future[NDArray[np.uint8]]]) -> Tensor:
    return torch.from_numpy(np.stack([future.result() for future in futures]))


def _threads() -> int:
    return min(8, os.cpu_count() or 1)
