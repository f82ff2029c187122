"""Randomness that starts from a seed and leaves torch's global generators as it found them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int, device: str | torch.device = "cpu") -> Iterator[None]:
    """Let torch's global generators of the CPU and of `device` start from `seed` inside, and restore them after.

    For code that draws from the global generators and offers no other: initial weights of layers, dropout.

    Example:
        >>> with seeded(1):
        ...     first = torch.rand(1)
        >>> with seeded(1):
        ...     bool(first == torch.rand(1))
        True
    """
    device = torch.device(device)
    cuda = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if cuda else []):
        torch.default_generator.manual_seed(seed)
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
