"""Images and features of a given size, drawn from a seed, for measuring without data."""

from __future__ import annotations

import io

import numpy as np
import PIL.Image
import torch

from crbench.api.interfaces import Reader
from crbench.api.pairing import TrainFeatures
from crbench.records import Features, Row, Samples

PER_PERSON = 20
"""Gallery images of a person."""


def noise_images(count: int) -> tuple[Samples, Reader]:
    """`count` rows and a reader that decodes a JPEG of 64x128 pixels for each, anew at each call."""
    rng = np.random.default_rng(0)
    files = []
    for _ in range(min(count, 64)):
        coarse = PIL.Image.fromarray(rng.integers(0, 256, (32, 16, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        coarse.resize((64, 128), PIL.Image.Resampling.BILINEAR).save(buffer, "JPEG", quality=90)
        files.append(buffer.getvalue())

    def read(row: Row) -> PIL.Image.Image:
        with PIL.Image.open(io.BytesIO(files[int(row.key) % len(files)])) as image:
            return image.convert("RGB")

    return _rows(np.arange(count) % 10 + 1), read


def clustered(count: int, persons: int, dim: int, *, device: str, seed: int, rate: float = 1.0) -> Features:
    """f32[count, dim] around one centre per person; the centres do not depend on `seed`."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(persons, dim, generator=generator)
    pids = np.arange(count) % persons
    generator.manual_seed(seed)
    x = centres[torch.from_numpy(pids)].add_(torch.randn(count, dim, generator=generator), alpha=2.0)
    return Features(x=x.to(device), rows=_rows(pids + 1, camid=seed).at_rate(rate))


def query_and_gallery(query: int, gallery: int, dim: int, *, device: str) -> tuple[Features, Features]:
    """Query and gallery features; every person of the gallery has about `PER_PERSON` images there."""
    persons = max(1, gallery // PER_PERSON)
    return (
        clustered(query, persons, dim, device=device, seed=1),
        clustered(gallery, persons, dim, device=device, seed=2),
    )


def training(dim: int, *, device: str, persons: int = 128) -> TrainFeatures:
    """Two images of each person, at rates 2, 3 and 4 as source and at 1 as target."""
    source = [clustered(2 * persons, persons, dim, device=device, seed=3, rate=rate) for rate in (2, 3, 4)]
    return TrainFeatures(
        source=Features(x=torch.cat([part.x for part in source]), rows=Samples.concat([part.rows for part in source])),
        target=clustered(2 * persons, persons, dim, device=device, seed=3),
    )


def _rows(pids: np.ndarray[tuple[int], np.dtype[np.int64]], camid: int = -1) -> Samples:
    return Samples(
        keys=[str(index) for index in range(len(pids))],
        pids=pids.astype(np.int64),
        camids=np.full(len(pids), camid, dtype=np.int64),
    )
