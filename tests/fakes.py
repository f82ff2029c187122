"""Fakes for tests of the harness: a data set, backbones and aligners that are quick, or that fail."""

from __future__ import annotations

import hashlib
from typing import ClassVar

import attrs
import numpy as np
import PIL.Image
import torch

from crbench.data.decode import StoredImage
from crbench.data.preprocess import Preprocess
from crbench.records import Encoded
from crbench.testing import RandomBackbone, TinyDataset


@attrs.frozen
class Hard(TinyDataset):
    """`TinyDataset` with so much noise that nobody is found with certainty; digests need no image."""

    def read(self, key, *, root):
        image = np.asarray(super().read(key, root=root).image).astype(int)
        seed = int(hashlib.sha256(f"hard {key}".encode()).hexdigest()[:8], 16)
        noise = np.random.default_rng(seed).integers(-120, 121, size=(4, 1, 3))
        bands = np.repeat(np.repeat(noise, 12, axis=0), 24, axis=1)
        made = PIL.Image.fromarray((image + bands).clip(0, 255).astype(np.uint8))
        return StoredImage(made, str(self.digests(np.array([key]), root=root)[0]))

    def digests(self, keys, *, root):
        return np.array([f"digest of {key}" for key in keys])


@attrs.frozen(eq=False)
class Learner:
    """A trainable backbone: a projection that its seed draws when it is trained. Keeps account of its trainings."""

    matrix: torch.Tensor | None = None
    dim: int = 8
    preprocess: Preprocess = attrs.field(factory=lambda: Preprocess(size=(32, 16)))

    trainings: ClassVar[list[int]] = []

    def extract(self, batch):
        blocks = torch.nn.functional.adaptive_avg_pool2d(batch.inputs, 4).flatten(1)
        return Encoded(x=blocks @ self.matrix)

    def train(self, rows, read, *, run):
        self.trainings.append(len(rows))
        return Learner(torch.randn(48, self.dim, generator=torch.Generator().manual_seed(run.seed)))

    def state(self):
        return {"matrix": self.matrix}


def learner(*, weights=None, device="cpu"):
    from safetensors.torch import load_file

    return Learner(None if weights is None else load_file(weights)["matrix"])


class ByRate(Learner):
    """A `Learner` that asks for a gallery for each rate: the one that `wanted` makes.

    Whether a class has the method is remembered for good when it is first asked, so no test adds it to another class.
    """

    wanted = staticmethod(lambda gallery, rate: gallery)

    def gallery_for(self, gallery, rate):
        return self.wanted(gallery, rate)

    def train(self, rows, read, *, run):
        return ByRate(super().train(rows, read, run=run).matrix)


def learner_by_rate(*, weights=None, device="cpu"):
    return ByRate(learner(weights=weights, device=device).matrix)


def learner_all(*, weights=None, device="cpu", scale: int = 1):
    return learner(weights=weights, device=device)


@attrs.frozen
class Failing:
    """An aligner that cannot be fitted."""

    def fit(self, train, *, run):
        raise ArithmeticError("no fit today")


@attrs.frozen
class Broken(RandomBackbone):
    """A backbone whose features are not numbers."""

    def extract(self, batch):
        return Encoded(x=super().extract(batch).x * float("nan"))


def nan_backbone(*, weights=None, device="cpu"):
    return Broken()


def random_backbone(*, weights=None, device="cpu", seed: int = 0):
    return RandomBackbone(seed=seed)


class Moody:
    """A metric, a hundred times the area above the curve, that fails at its third call."""

    def __init__(self):
        self.calls = 0

    def __call__(self, cmc):
        self.calls += 1
        if self.calls == 3:
            raise ArithmeticError("no score today")
        return 100 * (1 - cmc.mean(axis=1))
