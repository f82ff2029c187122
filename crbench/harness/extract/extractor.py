"""Step 4: rows to features, in batches of one shape, into the table of features.

What a feature depends on is covered by its key, see `crbench.harness.identity.feature_origin`. The key leaves out what
changes only how fast features come: the threads that decode, the copies, and the order of rows.
"""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial

import attrs
import numpy as np
import torch
from attrs import validators as v
from numpy.typing import NDArray
from torch import Tensor

from crbench.api.context import RunContext
from crbench.api.interfaces import Backbone, Reader
from crbench.config.run_spec import RunSpec
from crbench.errors import EvaluationError, PluginError
from crbench.harness.extract.forward import Forward
from crbench.harness.extract.pipeline import Pipeline
from crbench.records import Samples
from crbench.registry.guard import UNKNOWN, Owner
from crbench.results import Extraction
from crbench.store.features import FeatureTable
from crbench.transfer import Download, Transfer

CHUNK_BATCHES = 32
"""Batches per cache file; an extraction that is killed, not stopped, has to repeat so many at most."""

IN_FLIGHT = 2
"""Batches that the device may still work on while the host prepares the next."""

AUTO_BATCH_SIZE = {"cpu": 64, "cuda": 256}
"""Images per network call where the user leaves it open, by kind of device; other kinds take that of the CPU."""


class BatchTooLargeError(EvaluationError):
    """The device's memory does not hold a batch."""


def auto_batch_size(device: str) -> int:
    """The batch size for ``auto``, before any halving.

    Example:
        >>> auto_batch_size("cuda:1")
        256
    """
    return AUTO_BATCH_SIZE.get(device.partition(":")[0], AUTO_BATCH_SIZE["cpu"])


def extraction_for(spec: RunSpec, device: str) -> Extraction:
    """How a run computes features on a device; a batch size left open is settled, and ``amp="auto"`` is float32 here.

    See `crbench.harness.arithmetic.settled_extraction`.
    """
    size = auto_batch_size(device) if spec.batch_size == "auto" else spec.batch_size
    return Extraction(batch_size=size, amp="off" if spec.amp == "auto" else spec.amp, compile=spec.compile)


def with_half_batches(extraction: Extraction, error: BatchTooLargeError, run: RunContext) -> Extraction:
    """The same with half the batch size, which the log says.

    Raises:
        BatchTooLargeError: `error`, where a batch is one image already.
    """
    if extraction.batch_size == 1:
        raise error
    smaller = attrs.evolve(extraction, batch_size=extraction.batch_size // 2)
    run.logger.warning("%s; going on with %d", str(error).partition(";")[0], smaller.batch_size)
    return smaller


def extraction_order(rows: Samples) -> NDArray[np.intp]:
    """Positions of rows in the order in which they are extracted: those of one image follow each other, so that it is
    decoded once for all its rates.
    """
    return np.lexsort((rows.rates, rows.keys))


@attrs.frozen
class Filled:
    """What an extraction did.

    Attributes:
        rows: that were extracted.
        images: keys of those that were read for them; one image is read once for all its rates.
        decoding: share of the processor time that went into reading images, degrading and resizing them, 0 to 1.
    """

    rows: int = 0
    images: frozenset[str] = frozenset()
    decoding: float = attrs.field(default=0.0, validator=[v.ge(0), v.le(1)])


@attrs.frozen(eq=False)
class Extractor:
    """A backbone with all that decides how images reach it.

    Attributes:
        extraction: batch size, autocast and compilation. Every batch has exactly `batch_size` rows, as the rounding of
            matrix products may depend on the shape; the last one is filled up with repeats.
        flip: average with the features of the mirror image.
        workers: threads that decode and resize.
        owner: the plugin that the backbone comes from, which is named where it fails.
    """

    backbone: Backbone
    read: Reader
    extraction: Extraction
    flip: bool
    workers: int
    owner: Owner = UNKNOWN
    _networks: dict[str, Forward] = attrs.field(factory=dict, init=False)

    def fill(self, table: FeatureTable, rows: Samples, ids: NDArray[np.bytes_], run: RunContext) -> Filled:
        """Extract the rows that `table` lacks; tells what that was.

        Raises:
            ConfigError: the backbone cannot be compiled.
            DataError: an image cannot be read.
            PluginError: the backbone fails, or gave a wrong shape or values that are not finite.
            BatchTooLargeError: the batch size is too large for the device.
        """
        missing = table.missing(ids)
        if len(missing) == 0:
            return Filled()
        order = missing[extraction_order(rows.take(missing))]
        some = rows.take(order)
        try:
            share = self._extract(table, some, ids[order], run)
        except torch.cuda.OutOfMemoryError as error:
            raise BatchTooLargeError(
                f"out of memory on {run.device} with {self.extraction.batch_size} images per batch; choose a smaller "
                "network or --device cpu"
            ) from error
        return Filled(len(order), frozenset(some.keys.tolist()), share)

    def _extract(self, table: FeatureTable, rows: Samples, ids: NDArray[np.bytes_], run: RunContext) -> float:
        """Gives the share of the processor time that the threads of the pipeline took."""
        started, size = time.process_time(), self.extraction.batch_size
        forward = self.network(run.device)
        pipeline = Pipeline(
            self.read, self.backbone.preprocess, batch_size=size, device=run.device, workers=self.workers
        )
        transfer = Transfer(run.device)
        with (
            run.progress(len(rows), "extract", "image") as bar,
            _Chunks(table, rows, ids, size * CHUNK_BATCHES, self.owner) as chunks,
            closing(pipeline.batches(rows)) as batches,
        ):
            for batch in batches:
                x, dims = forward(batch, rows)
                encoded = _Encoded(transfer.download(x), None if dims is None else transfer.download(dims))
                bar.advance(chunks.add(encoded))
            bar.advance(chunks.finish())
        return min(1.0, pipeline.decode_s / max(time.process_time() - started, 1e-9))

    def network(self, device: str) -> Forward:
        """The network in the form that extracts; what is made and looked at once serves every `fill`."""
        if device not in self._networks:
            self._networks[device] = Forward(
                self.backbone, self.extraction, flip=self.flip, device=device, owner=self.owner
            )
        return self._networks[device]


@attrs.frozen(eq=False)
class _Encoded:
    """Features of a batch on their way to the host."""

    x: Download
    dims: Download | None


class _Chunks:
    """Gathers features and puts them into the table, a chunk at a time, in a thread of its own.

    A context manager: leaving its block by an error or an interrupt keeps all features that are there.
    """

    def __init__(self, table: FeatureTable, rows: Samples, ids: NDArray[np.bytes_], size: int, owner: Owner) -> None:
        self._table = table
        self._rows = rows
        self._ids = ids
        self._size = size
        self._owner = owner
        self._under_way: deque[_Encoded] = deque()
        self._batches: list[tuple[Tensor, Tensor | None]] = []
        self._written = 0
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._writing: Future[None] | None = None

    def __enter__(self) -> _Chunks:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._pool:
            if kind is None:
                self._wait()
                return
            for step in (partial(self._take_all, whole=False), partial(self._write, whole=False), self._wait):
                with suppress(Exception):  # the error that ended the block says more
                    step()

    def add(self, encoded: _Encoded) -> int:
        """Take the features of the next rows; returns how many rows have come from the device."""
        self._under_way.append(encoded)
        return self._take() if len(self._under_way) > IN_FLIGHT else 0

    def finish(self) -> int:
        """Take what is still on its way and write what is left; returns as `add`."""
        count = self._take_all()
        self._write()
        return count

    def _take_all(self, *, whole: bool = True) -> int:
        return sum(self._take(whole=whole) for _ in range(len(self._under_way)))

    def _take(self, *, whole: bool = True) -> int:
        encoded = self._under_way.popleft()
        x, dims = encoded.x.take(), None if encoded.dims is None else encoded.dims.take()
        self._batches.append((x, dims))
        if sum(len(some) for some, _ in self._batches) >= self._size:
            self._write(whole=whole)
        return len(x)

    def _write(self, *, whole: bool = True) -> None:
        """Write what has come; features that are not finite are an error or, where not all must be, left out."""
        if not self._batches:
            return
        x = torch.cat([x for x, _ in self._batches])
        lengths = [dims for _, dims in self._batches if dims is not None]
        dims = torch.cat(lengths) if lengths else None
        end = self._written + len(x)
        ids, finite = self._ids[self._written : end], torch.isfinite(x).all(dim=1)
        if not bool(finite.all()):
            if whole:
                key = self._rows.keys[self._written + int(torch.nonzero(~finite)[0])]
                raise PluginError(
                    f"{self._owner} failed at extract: it gave NaN or infinite features for {key}; check its weights"
                )
            x, dims, ids = x[finite], None if dims is None else dims[finite], ids[finite.numpy()]
        self._wait()
        if len(x):
            self._writing = self._pool.submit(self._table.add, ids, x, dims)
        self._batches, self._written = [], end

    def _wait(self) -> None:
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()
