"""Backbones that see nobody: whatever is measured must stand above them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import attrs
import torch

from crbench.api import Batch, Encoded, Preprocess
from crbench.errors import ConfigError


def _none(_instance: object, _attribute: attrs.Attribute[Any], weights: Path | None) -> None:
    if weights is not None:
        raise ConfigError(f"a sanity row has no weights, given --weights {weights}; leave it out")


@attrs.frozen(kw_only=True)
class _Blind:
    """What both share: `weights` must be None, and the device is that of the images."""

    weights: Path | None = attrs.field(default=None, validator=_none)
    device: str = "cpu"
    dim: int = attrs.field(default=16, init=False)
    preprocess: Preprocess = attrs.field(default=Preprocess(size=(64, 32)), init=False)


@attrs.frozen(kw_only=True)
class Constant(_Blind):
    """The same feature for every image, so that all distances are tied: Rank-1 is 0 where ties count as misses."""

    def extract(self, batch: Batch) -> Encoded:
        """Ones, f32[b, dim]."""
        return Encoded(x=torch.ones(len(batch.inputs), self.dim, device=batch.inputs.device))


@attrs.frozen(kw_only=True)
class Random(_Blind):
    """A random direction for every image, drawn from its pixels: Rank-1 is that of guessing.

    Attributes:
        seed: of the draws.
    """

    seed: int = 0

    def extract(self, batch: Batch) -> Encoded:
        """Normal numbers, f32[b, dim]; one image gives the same in every batch and on every device."""
        rows = [self._drawn(image.cpu().numpy().tobytes()) for image in batch.inputs]
        return Encoded(x=torch.stack(rows).to(batch.inputs.device))

    def _drawn(self, pixels: bytes) -> torch.Tensor:
        digest = hashlib.sha256(f"{self.seed}|".encode() + pixels).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7]))
        return torch.randn(self.dim, generator=generator)
