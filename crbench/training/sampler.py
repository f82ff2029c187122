"""PK batches: P persons, K images of each, as batch-hard triplets need (Hermans et al., arXiv 1703.07737, Sec. 2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]


class Sampler(Protocol):
    """Which rows make the batches of an epoch.

    Attributes:
        batch_size: rows in every batch.
        steps: batches in every epoch.
    """

    @property
    def batch_size(self) -> int: ...

    @property
    def steps(self) -> int: ...

    def epoch(self, number: int) -> Sequence[Indices]:
        """The batches of epoch `number` (from 0, counted through all phases); the same at every call."""


class PKSampler:
    """Batches of row indices, drawn anew in each epoch from the seed and the epoch's number alone.

    A sweep draws each person once, in random order. An epoch has at least one sweep, and enough batches to show
    about as many images as there are. Each image of a person is drawn once before any is drawn again.

    Args:
        labels: i64[n], person of each row, 0 to number of persons - 1.
        identities, images: P and K. With fewer than P persons a batch holds all of them; of a person with fewer than K
            images, some images are repeated.
        seed: from 0.

    Attributes:
        batch_size: rows in every batch.
        steps: batches in every epoch.

    Example:
        >>> sampler = PKSampler(np.repeat(np.arange(5), 4), identities=2, images=2, seed=0)
        >>> [len(batch) for batch in sampler.epoch(0)] == [4] * sampler.steps
        True
    """

    def __init__(self, labels: NDArray[np.int64], *, identities: int, images: int, seed: int) -> None:
        self._labels = labels
        self._counts = np.bincount(labels)
        self._starts = np.cumsum(self._counts) - self._counts
        self._identities = min(identities, len(self._counts))
        self._images = images
        self._seed = seed
        sweep = math.ceil(len(self._counts) / self._identities)
        self.batch_size = self._identities * images
        self.steps = max(sweep, round(len(labels) / self.batch_size))

    def epoch(self, number: int) -> list[Indices]:
        """The batches of epoch `number` (from 0): `steps` times `batch_size` row indices, a person's K side by side."""
        generator = np.random.default_rng([self._seed, number])
        shuffled = generator.permutation(len(self._labels))
        grouped = shuffled[np.argsort(self._labels[shuffled], kind="stable")]
        batches: list[Indices] = []
        sweep = 0
        while len(batches) < self.steps:
            for persons in self._sweep(generator):
                offsets = (sweep * self._images + np.arange(self._images)) % self._counts[persons, None]
                batches.append(grouped[self._starts[persons, None] + offsets].ravel())
            sweep += 1
        return batches[: self.steps]

    def _sweep(self, generator: np.random.Generator) -> NDArray[np.intp]:
        """All persons in random order, P to a row; the last row is filled with persons of the first."""
        order = generator.permutation(len(self._counts))
        missing = -len(order) % self._identities
        return np.concatenate([order, order[:missing]]).reshape(-1, self._identities)
