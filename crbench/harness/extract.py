"""Step 4: rows to features, in batches of one shape, through the feature cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeAlias

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.errors import EvaluationError
from crbench.interfaces import Backbone, Reader, Run
from crbench.preprocess import picture_array, to_input
from crbench.records import Batch, Samples
from crbench.store.features import FeatureTable

if TYPE_CHECKING:
    import torch

Pictures: TypeAlias = "Future[NDArray[np.uint8]]"

CHUNK_BATCHES = 32
"""Batches per cache file: what a killed extraction has to do again at most."""


@attrs.frozen(eq=False)
class Extractor:
    """A backbone with all that decides how pictures reach it.

    Attributes:
        batch_size: every batch has exactly this many rows (the last is filled up with repeats), since the rounding of
            matrix products may depend on the batch's shape.
        flip: average with the features of the mirror image.
        workers: threads that decode and resize.
    """

    backbone: Backbone
    read: Reader
    batch_size: int
    flip: bool
    workers: int

    def fill(self, table: FeatureTable, rows: Samples, ids: NDArray[np.bytes_], run: Run) -> int:
        """Extract the rows that `table` lacks; returns how many there were.

        Raises:
            DataError: a picture cannot be read.
            EvaluationError: the backbone gave a wrong shape or values that are not finite.
        """
        missing = table.missing(ids)
        # Neighbours share a picture, so that it is decoded once for all its rates.
        order = missing[np.lexsort((rows.rates[missing], rows.keys[missing]))]
        step = self.batch_size * CHUNK_BATCHES
        with run.progress(len(order), "extract", "image") as bar, ThreadPoolExecutor(max(1, self.workers)) as pool:
            for start in range(0, len(order), step):
                chunk = order[start : start + step]
                x, dims = self._encode(rows.take(chunk), pool, bar.advance, run.device)
                table.add(ids[chunk], x, dims)
        return len(order)

    def _encode(
        self, rows: Samples, pool: ThreadPoolExecutor, advance: Callable[[int], None], device: str
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        import torch

        parts = []
        for index, inputs in self._batches(rows, pool):
            fill = np.resize(index, self.batch_size)
            batch = Batch(
                inputs=inputs.to(device),
                rates=rows.rates[fill],
                camids=rows.camids[fill],
                modality=rows.modality,
            )
            x, dims = self._features(batch)
            parts.append((x[: len(index)], None if dims is None else dims[: len(index)]))
            advance(len(index))
        lengths = [dims for _, dims in parts if dims is not None]
        x = torch.cat([x for x, _ in parts])
        if not bool(torch.isfinite(x).all()):
            row = int(torch.nonzero(~torch.isfinite(x).all(dim=1))[0])
            raise EvaluationError(f"the backbone gave NaN or infinite features for {rows.keys[row]}; check its weights")
        return x, torch.cat(lengths) if lengths else None

    def _features(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor | None]:
        encoded = self.backbone.extract(batch)
        shape = tuple(encoded.x.shape)
        if shape != (self.batch_size, self.backbone.dim):
            raise EvaluationError(
                f"the backbone gave features {shape}, expected {(self.batch_size, self.backbone.dim)}"
            )
        x = encoded.x.float()
        if self.flip:
            x = (x + self.backbone.extract(attrs.evolve(batch, inputs=batch.inputs.flip(-1))).x.float()) / 2
        return x.cpu(), None if encoded.dims is None else encoded.dims.cpu()

    def _batches(self, rows: Samples, pool: ThreadPoolExecutor) -> Iterator[tuple[NDArray[np.intp], torch.Tensor]]:
        """Network inputs, one batch ahead of the network."""
        import torch

        starts = range(0, len(rows), self.batch_size)
        indices = [np.arange(start, min(start + self.batch_size, len(rows))) for start in starts]
        ahead: list[Pictures] = []
        for number, index in enumerate(indices):
            futures = ahead or self._submit(rows, index, pool)
            ahead = self._submit(rows, indices[number + 1], pool) if number + 1 < len(indices) else []
            pictures = np.concatenate([future.result() for future in futures])
            filled = np.resize(np.arange(len(index)), self.batch_size)
            yield index, to_input(torch.from_numpy(pictures[filled]), self.backbone.preprocess)

    def _submit(self, rows: Samples, index: NDArray[np.intp], pool: ThreadPoolExecutor) -> list[Pictures]:
        groups = np.array_split(index, min(len(index), max(1, 4 * self.workers)))
        return [pool.submit(self._pictures, rows, group) for group in groups]

    def _pictures(self, rows: Samples, index: NDArray[np.intp]) -> NDArray[np.uint8]:
        return np.stack([picture_array(self.read(rows.row(int(i))), self.backbone.preprocess) for i in index])
