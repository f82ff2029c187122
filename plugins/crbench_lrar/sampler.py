"""Training rows at LR rates, and batches of mixed resolution levels: of each person images in HR and at LR rates."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from crbench.api import Samples

Indices = NDArray[np.intp]


class MixedLevelSampler:
    """P persons with K images each: half of them HR, half LR, the LR rate uniform over all that occur.

    Which images make an epoch follows from the seed and the epoch's number alone. A person without images of one
    kind or rate gives others of its own. An epoch shows about as many HR images as there are, and as many LR ones.

    Args:
        rows: HR rows and LR rows of at least two persons.
        identities, images: P and K; with fewer than P persons a batch holds all of them.
        seed: from 0.

    Attributes:
        batch_size: rows in every batch.
        steps: batches in every epoch.

    Example:
        >>> rows = Samples(keys=list("aabbaabb"), pids=[1, 1, 2, 2] * 2, rates=[1] * 4 + [2, 4] * 2)
        >>> sampler = MixedLevelSampler(rows, identities=2, images=2, seed=0)
        >>> [sorted(rows.rates[batch].tolist())[:2] for batch in sampler.epoch(0)]
        [[1.0, 1.0], [1.0, 1.0]]
    """

    def __init__(self, rows: Samples, *, identities: int, images: int, seed: int) -> None:
        persons, labels = np.unique(rows.pids, return_inverse=True)
        self._lr_rates = np.unique(rows.rates[rows.rates > 1])
        self._own = [_by_rate(np.flatnonzero(labels == person), rows.rates) for person in range(len(persons))]
        self._identities = min(identities, len(persons))
        self._images = images
        self._seed = seed
        self.batch_size = self._identities * images
        hr = int((rows.rates == 1).sum()) or len(rows) // 2
        self.steps = max(1, math.ceil(len(persons) / self._identities), round(2 * hr / self.batch_size))

    def epoch(self, number: int) -> list[Indices]:
        """The batches of epoch `number` (from 0): `steps` times `batch_size` row numbers, a person's side by side."""
        generator = np.random.default_rng([self._seed, number])
        queue: list[int] = []
        batches = []
        for _ in range(self.steps):
            while len(queue) < self._identities:
                queue.extend(p for p in generator.permutation(len(self._own)).tolist() if p not in queue)
            chosen, queue = queue[: self._identities], queue[self._identities :]
            batches.append(np.array([row for person in chosen for row in self._rows(person, generator)], dtype=np.intp))
        return batches

    def _rows(self, person: int, generator: np.random.Generator) -> list[int]:
        """K rows of a person; none twice while others of its rate are left."""
        low = generator.choice(self._lr_rates, self._images // 2).tolist() if len(self._lr_rates) else []
        wanted = [1.0] * (self._images - len(low)) + low
        own = self._own[person]
        chosen: list[int] = []
        for rate in wanted:
            fallback = [row for kind in own.values() for row in kind]
            pool = own.get(rate, fallback)
            fresh = [row for row in pool if row not in chosen]
            chosen.append(int(generator.choice(fresh or pool)))
        return chosen


def with_copies(rows: Samples, rates: tuple[float, ...]) -> Samples:
    """Training rows, and the HR ones again at each of `rates` at which they do not occur.

    Example:
        >>> with_copies(Samples(keys=["a"], pids=[1]), (2.0, 4.0)).rates.tolist()
        [1.0, 2.0, 4.0]
    """
    hr = rows.take(rows.rates == 1)
    copied = {rate for rate in rates if np.isin(hr.keys, rows.keys[rows.rates == np.float32(rate)]).all()}
    return Samples.concat([rows, *(hr.at_rate(rate) for rate in rates if rate not in copied)])


def _by_rate(index: Indices, rates: NDArray[np.float32]) -> dict[float, list[int]]:
    return {float(rate): index[rates[index] == rate].tolist() for rate in np.unique(rates[index])}
