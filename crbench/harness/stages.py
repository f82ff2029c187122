"""What each stage of extraction costs alone, and how near the whole comes to the pace of the network."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import attrs
import numpy as np
import torch

from crbench.api.context import RunContext
from crbench.data.preprocess import image_array
from crbench.harness.extract.extractor import Extractor
from crbench.harness.extract.pipeline import Loaded, Pipeline
from crbench.harness.timing import median_seconds
from crbench.records import Samples
from crbench.store.features import FeatureTable
from crbench.transfer import Transfer


@attrs.frozen(kw_only=True)
class StageSeconds:
    """Median wall time per image, in seconds.

    Attributes:
        decode: reading, decoding and shrinking, by one thread.
        resize: to the network's input size, by one thread.
        copy: of a batch from (on CUDA pinned) host memory to the device; about 0 on a CPU.
        forward: normalising and the network, on images that are on the device: the bound for `whole`.
        load: decode, resize and copy by all threads, without the network.
        whole: extraction from files to features in memory.
    """

    decode: float
    resize: float
    copy: float
    forward: float
    load: float
    whole: float

    @property
    def share(self) -> float:
        """Throughput of the whole as a share of the network's own, from 0 to about 1.

        Example:
            >>> StageSeconds(decode=1, resize=1, copy=0, forward=9, load=1, whole=10).share
            0.9
        """
        return self.forward / self.whole


def measure_stages(extractor: Extractor, rows: Samples, *, device: str, repeats: int = 5) -> StageSeconds:
    """Time each stage of `extractor` over the same images, after one warm-up of each.

    Args:
        extractor: its reader must not keep decoded images, as that of a run does; else `decode` times a look-up.
        rows: a multiple of the batch size, so that no batch is filled up with repeats.

    Raises:
        ValueError: the number of rows is no multiple of the batch size, or 0.
    """
    size, preprocess = extractor.extraction.batch_size, extractor.backbone.preprocess
    if len(rows) == 0 or len(rows) % size:
        raise ValueError(f"{len(rows)} rows are not a positive multiple of the batch size {size}")
    images = [extractor.read(rows.row(index)) for index in range(size)]
    arrays = np.stack([image_array(image, preprocess) for image in images])
    transfer = Transfer(device)
    host = transfer.buffer(arrays.shape, torch.uint8)
    host.copy_(torch.from_numpy(arrays))
    batch = Loaded(index=np.arange(size), count=size, images=transfer.upload(host))
    pipeline = Pipeline(extractor.read, preprocess, batch_size=size, device=device, workers=extractor.workers)
    forward = extractor.network(device)
    ids = np.arange(2 * len(rows), dtype=np.uint64).view("V16")  # any ids that differ

    def seconds(work: Callable[[], object], count: int) -> float:
        return median_seconds(work, device, repeats=repeats) / count

    return StageSeconds(
        decode=seconds(lambda: [extractor.read(rows.row(index)) for index in range(size)], size),
        resize=seconds(lambda: [image_array(image, preprocess) for image in images], size),
        copy=seconds(lambda: transfer.upload(host), size),
        forward=seconds(lambda: forward(batch, rows), size),
        load=seconds(lambda: deque(pipeline.batches(rows), maxlen=0), len(rows)),
        whole=seconds(lambda: extractor.fill(FeatureTable(None), rows, ids, RunContext(device=device)), len(rows)),
    )
