"""Features of a few images in several ways, with the time that the network takes for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import attrs
import numpy as np
import torch
from torch import Tensor

from crbench.api.interfaces import Backbone, Reader
from crbench.errors import PluginError
from crbench.harness.extract.forward import Forward
from crbench.harness.extract.pipeline import Loaded, Pipeline
from crbench.harness.timing import Clock
from crbench.records import Samples
from crbench.registry.guard import UNKNOWN, Owner
from crbench.results import Extraction

ROUNDS = 3
"""Others use the machine, too, so one time is not enough."""


@attrs.frozen(eq=False)
class Timed:
    """Features f32[n, D], 0 where a row has fewer columns, and seconds that the network took for all of them."""

    x: Tensor
    seconds: float


@attrs.frozen(eq=False)
class ImageSample:
    """Images of some rows, decoded, in batches of one shape on the device."""

    rows: Samples
    batches: Sequence[Loaded]
    device: str
    owner: Owner = UNKNOWN

    @classmethod
    def of(
        cls, rows: Samples, count: int, backbone: Backbone, read: Reader, *, size: int, device: str, owner: Owner
    ) -> Self:
        """`count` of the rows, or all, drawn by a fixed seed, as input of a backbone in batches of `size`."""
        chosen = rows.take(np.sort(np.random.default_rng(0).permutation(len(rows))[:count]))
        pipeline = Pipeline(read, backbone.preprocess, batch_size=size, device=device, workers=1)
        return cls(chosen, list(pipeline.batches(chosen)), device, owner)

    def timed(self, ways: Sequence[tuple[Backbone, Extraction]], rounds: int = ROUNDS) -> list[Timed]:
        """Features by each backbone as its extraction says, in turns, after a first batch that does not count.

        Args:
            rounds: times that each way computes all images; the fastest counts.

        Raises:
            PluginError: a backbone fails, or gave values that are not finite.
        """
        calls = [
            Forward(backbone, attrs.evolve(how, batch_size=len(self.batches[0].index)), flip=False, device=self.device,
                    owner=self.owner)
            for backbone, how in ways
        ]  # fmt: skip
        for forward in calls:
            forward(self.batches[0], self.rows)
        turns = [[self._once(forward) for forward in calls] for _ in range(rounds)]
        return [min(turn, key=lambda timed: timed.seconds) for turn in zip(*turns, strict=True)]

    def _once(self, forward: Forward) -> Timed:
        with Clock(self.device) as clock:
            found = [forward(batch, self.rows) for batch in self.batches]
        x = torch.cat([x for x, _ in found])
        lengths = [dims for _, dims in found if dims is not None]
        if lengths:
            x = x * (torch.arange(x.shape[1], device=x.device) < torch.cat(lengths)[:, None])
        bad = torch.nonzero(~torch.isfinite(x).all(dim=1))
        if len(bad):
            key = self.rows.keys[int(bad[0])]
            raise PluginError(f"{self.owner} failed at extract: it gave NaN or infinite features for {key}")
        return Timed(x.cpu(), clock.seconds)
