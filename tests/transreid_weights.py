"""Deterministic weights and images for the tests of crbench_transreid, and its backbone by flat parameters."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from crbench_transreid.backbone import TransReIDBackbone
from crbench_transreid.vit import Architecture
from torch import Tensor

from crbench import load_backbone

State = dict[str, Tensor]

TINY = Architecture(width=16, depth=2, heads=2)

# a prime number of values, so that equal shapes do not repeat in step
NOISE = np.random.default_rng(0).standard_normal(1048573).astype(np.float32)


def transreid(weights: Path | None = None, **parameters: Any) -> TransReIDBackbone:
    """The backbone with parameters as users set them; this preset changes none of the defaults."""
    return load_backbone("transreid/market-vit-base", weights, **parameters)  # type: ignore[return-value]


def filled(state: State) -> State:
    """The rule behind all golden numbers: by key, the noise from a place that the key decides, scaled by its kind."""
    return {key: _values(key, tensor) for key, tensor in state.items()}


def _values(key: str, like: Tensor) -> Tensor:
    shape = tuple(like.shape)
    count = int(np.prod(shape))
    noise = np.resize(np.roll(NOISE, zlib.crc32(key.encode()) % len(NOISE)), count).reshape(shape)
    if key.endswith("num_batches_tracked"):
        values = np.array(7)
    elif key.endswith("running_var"):
        values = 1 + 0.5 * np.abs(noise)
    elif key.endswith("running_mean"):
        values = 0.5 * noise
    elif len(shape) == 1:
        values = 1 + 0.2 * noise if key.endswith("weight") else 0.2 * noise
    elif key.endswith(("pos_embed", "cls_token", "sie_embed")):
        values = 0.3 * noise
    else:
        values = noise / np.float32(np.sqrt(np.prod(shape[1:])))
    return torch.from_numpy(values).to(like.dtype)


def images(count: int, size: tuple[int, int]) -> Tensor:
    """f32[count, 3, height, width], the same in every run."""
    return torch.from_numpy(np.random.default_rng(1).standard_normal((count, 3, *size)).astype(np.float32))
