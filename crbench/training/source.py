"""`Source`: augmented training batches on the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from crbench.api.context import RunContext
from crbench.data.preprocess import Preprocess
from crbench.records import Samples
from crbench.training.augment import augment
from crbench.training.images import Images
from crbench.training.objective import TrainBatch
from crbench.training.recipe import Recipe


class Source:
    """Batches for a `crbench.training.Objective`.

    Args:
        labels: i64[n], class of each row.

    Attributes:
        device: of the batches.
        generator: of the augmentation, on the CPU.
    """

    def __init__(
        self, images: Images, rows: Samples, labels: NDArray[np.intp], preprocess: Preprocess, run: RunContext
    ) -> None:
        self._images = images
        self._columns = [torch.from_numpy(column.copy()) for column in (labels, rows.rates, rows.camids)]
        self._preprocess = preprocess
        self.device = torch.device(run.device)
        self.generator = torch.Generator().manual_seed(run.seed)

    def batches(self, order: Sequence[NDArray[np.intp]], recipe: Recipe) -> Iterator[TrainBatch]:
        """One batch for each array of row numbers."""
        for indices, images in zip(order, self._images.batches(order), strict=True):
            index = torch.from_numpy(indices)
            labels, rates, camids = (column[index].to(self.device) for column in self._columns)
            inputs = augment(images.to(self.device), recipe, self._preprocess, self.generator)
            yield TrainBatch(inputs=inputs, labels=labels, rates=rates, camids=camids)
