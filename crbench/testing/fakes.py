"""Ready-made fakes: features, training features, a backbone and a data set, all in memory and made from a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crbench.api.pairing import TrainFeatures
from crbench.data.decode import StoredImage, image_digest
from crbench.data.info import DatasetInfo
from crbench.data.preprocess import Preprocess
from crbench.data.splits import Index, draw_split
from crbench.protocol import EvalProtocol, SplitRules
from crbench.records import Batch, Encoded, Features, Samples, Split


def random_features(
    *, persons: int = 8, images: int = 3, dim: int = 16, rates: Sequence[float] = (1, 2, 3, 4), seed: int = 0
) -> Features:
    """Features in one cluster per person (from 1): f32[len(rates) * persons * images, dim], rate by rate."""
    rows = _people(persons, images)
    x = _clusters(rows, dim, seed)
    return Features(x=torch.cat([x] * len(rates)), rows=Samples.concat([rows.at_rate(rate) for rate in rates]))


def train_features(
    *,
    persons: int = 8,
    images: int = 3,
    dim: int = 16,
    rates: Sequence[float] = (2, 3, 4),
    shift: float = 1.0,
    noise: float = 0.1,
    seed: int = 0,
) -> TrainFeatures:
    """HR features as target; as source the same images at `rates`, each moved by `shift` times 1 - 1/rate.

    The direction of the shift, a vector of length sqrt(dim), is the same for all rates and drawn from `seed`.
    """
    rows = _people(persons, images)
    x = _clusters(rows, dim, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    panning = shift * torch.randn(dim, generator=generator)
    moved = [x + (1 - 1 / rate) * panning + noise * torch.randn(x.shape, generator=generator) for rate in rates]
    source = Features(x=torch.cat(moved), rows=Samples.concat([rows.at_rate(rate) for rate in rates]))
    return TrainFeatures(source=source, target=Features(x=x, rows=rows))


@attrs.frozen
class RandomBackbone:
    """A backbone without weights: the image as 4x4 blocks, projected by a random matrix that `seed` fixes."""

    dim: int = 16
    seed: int = 0
    preprocess: Preprocess = attrs.field(factory=lambda: Preprocess(size=(32, 16)))
    weights: Path | None = None
    device: str = "cpu"

    def extract(self, batch: Batch) -> Encoded:
        """Features f32[b, dim] of ``batch.inputs`` f32[b, 3, height, width]."""
        blocks = torch.nn.functional.adaptive_avg_pool2d(batch.inputs, 4).flatten(1)
        matrix = torch.randn(blocks.shape[1], self.dim, generator=torch.Generator().manual_seed(self.seed))
        return Encoded(x=blocks @ matrix.to(blocks.device))


@attrs.frozen
class TinyDataset:
    """Eight persons, two cameras, two images each, made in memory; four train and four test persons, two trials."""

    info: DatasetInfo = attrs.field(factory=lambda: DatasetInfo(name="tiny", title="eight made-up persons, for tests"))
    protocols: Mapping[str, EvalProtocol] = attrs.field(
        factory=lambda: {"mlr": EvalProtocol(split=SplitRules(identities="random:4/4", trials=2))}
    )

    def split(self, protocol: EvalProtocol, index: int, *, root: Path) -> Split:
        """Trial `index`; `root` is not used."""
        rows = _people(persons=8, images=4)
        return draw_split(Index(name="tiny", rows=rows, roles=np.full(len(rows), "any")), protocol, index)

    def read(self, key: str, *, root: Path) -> StoredImage:
        """An image of 24x48 pixels: four bands in the person's colours, with noise of its own."""
        import PIL.Image

        person = np.random.default_rng(int(key.split("_")[0])).integers(40, 216, size=(4, 1, 3))
        noise = np.random.default_rng(int(hashlib.sha256(key.encode()).hexdigest()[:8], 16))
        bands = np.repeat(np.repeat(person, 12, axis=0), 24, axis=1)
        image = PIL.Image.fromarray((bands + noise.integers(-30, 31, size=bands.shape)).astype(np.uint8))
        return StoredImage(image, image_digest(image.tobytes()))

    def digests(self, keys: NDArray[np.str_], *, root: Path) -> NDArray[np.str_]:
        """`crbench.api.image_digest` of each image's pixels."""
        return np.array([self.read(str(key), root=root).digest for key in keys])


def tiny_dataset() -> TinyDataset:
    """A `TinyDataset`; each one has the same images and splits."""
    return TinyDataset()


def _people(persons: int, images: int) -> Samples:
    pids, image = np.divmod(np.arange(persons * images), images)
    keys = [f"{pid}_{i}" for pid, i in zip(pids + 1, image, strict=True)]
    return Samples(keys=keys, pids=pids + 1, camids=1 + image % 2)


def _clusters(rows: Samples, dim: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(int(rows.pids.max()) + 1, dim, generator=generator)
    return centres[torch.tensor(rows.pids)] + 0.2 * torch.randn(len(rows), dim, generator=generator)
