"""Step 4, first part: images on their way to the network. Threads decode and resize them ahead of its work.

They are threads, not processes, as Pillow releases the interpreter while it decodes and resizes. On two cores of an
AMD EPYC, an image from a JPEG file of 64x128 to 256x128 took 0.25 ms with two threads, 0.34 ms with two processes that
send pixels through a pipe, and 0.39 ms with one thread. The interpreter is held for 0.06 ms, mostly while a header is
parsed. All of it, normalising included, is 2 % of the processor time of ResNet-50 at 256x128.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crbench.api.interfaces import Reader
from crbench.data.preprocess import Preprocess, image_array
from crbench.records import Samples
from crbench.transfer import Transfer

AHEAD = 3
"""Batches that are decoded ahead of the network; each takes ``batch_size * height * width * 3`` bytes."""

MOST_WORKERS = 16
"""Threads that are taken unasked; with more of them, the interpreter sets the pace, not the processors."""


def worker_count(request: int) -> int:
    """Threads to decode with: `request`, or for 0 one per processor of this process, at most `MOST_WORKERS`."""
    if request:
        return request
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, MOST_WORKERS)


@attrs.frozen(eq=False)
class Loaded:
    """A batch on the device.

    Attributes:
        index: i64[batch_size], the rows that it shows; the last batch is filled up with repeats.
        count: how many leading rows are no repeats.
        images: u8[batch_size, height, width, 3].
    """

    index: NDArray[np.intp]
    count: int
    images: Tensor


class Pipeline:
    """From rows to batches of one shape on the device.

    Args:
        read: gives the image of a row; called by several threads at once.
        preprocess: of the network.
        batch_size: images per batch.
        device: torch device name.
        workers: threads that decode and resize.

    Attributes:
        decode_s: processor time of the threads for all batches so far, in seconds.
    """

    def __init__(self, read: Reader, preprocess: Preprocess, *, batch_size: int, device: str, workers: int) -> None:
        self._read = read
        self._preprocess = preprocess
        self._batch_size = batch_size
        self._transfer = Transfer(device)
        self._workers = workers
        self.decode_s = 0.0

    def batches(self, rows: Samples) -> Generator[Loaded, None, None]:
        """All rows in their order; close the iterator to stop the threads early.

        Raises:
            DataError: an image cannot be read.
        """
        starts = range(0, len(rows), self._batch_size)
        with ThreadPoolExecutor(self._workers, thread_name_prefix="decode") as pool:
            waiting: deque[Callable[[], Loaded]] = deque()
            try:
                for start in starts:
                    index = np.arange(start, min(start + self._batch_size, len(rows)))
                    waiting.append(self._start(rows, index, pool))
                    if len(waiting) > AHEAD:
                        yield waiting.popleft()()
                while waiting:
                    yield waiting.popleft()()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _start(self, rows: Samples, index: NDArray[np.intp], pool: ThreadPoolExecutor) -> Callable[[], Loaded]:
        """Let the threads fill a batch; gives a function that waits for them and returns the batch."""
        buffer = self._transfer.buffer((self._batch_size, *self._preprocess.size, 3), torch.uint8)
        target, tasks = buffer.numpy(), min(len(index), 4 * self._workers)
        shares = np.array_split(np.arange(len(index)), tasks)
        futures: list[Future[float]] = [pool.submit(self._decode, rows, index[at], target[at[0] :]) for at in shares]

        def finish() -> Loaded:
            self.decode_s += sum(future.result() for future in futures)
            filled = np.resize(np.arange(len(index)), self._batch_size)
            target[len(index) :] = target[filled[len(index) :]]
            return Loaded(index=index[filled], count=len(index), images=self._transfer.upload(buffer))

        return finish

    def _decode(self, rows: Samples, index: NDArray[np.intp], target: NDArray[np.uint8]) -> float:
        started = time.thread_time()
        for position, number in enumerate(index):
            target[position] = image_array(self._read(rows.row(int(number))), self._preprocess)
        return time.thread_time() - started
