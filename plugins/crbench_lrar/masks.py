"""Mechanism 2: channel masks that depend on the resolution level (Wu et al., TIP 2023, Eq. 3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn


class ResolutionMasks(nn.Module):
    """One real vector per level after each of L units of a network; channels are scaled by its Sigmoid.

    Masks may be switched on from the unit nearest the classifier downwards (`use_last`), as progressive training does.

    Args:
        channels: of each unit's output, first unit first.
        levels: number m of resolution levels.
        mean: of the Gaussian (deviation 1) that free parameters are drawn from; 3 starts masks near 1.

    Example:
        >>> masks = ResolutionMasks([2, 3], levels=4)
        >>> [tuple(mask.shape) for mask in masks.free]
        [(4, 2), (4, 3)]
    """

    def __init__(self, channels: Sequence[int], levels: int, mean: float = 0.0) -> None:
        super().__init__()
        self.free = nn.ParameterList(nn.Parameter(mean + torch.randn(levels, width)) for width in channels)
        self._used = len(channels)

    def __len__(self) -> int:
        return len(self.free)

    def use_last(self, count: int) -> None:
        """Apply the masks of the last `count` units only, and train the first of them; the later ones are frozen."""
        self._used = count
        for index, mask in enumerate(self.free):
            mask.requires_grad_(index == len(self.free) - count)

    def use_all(self) -> None:
        """Apply and train all masks."""
        self._used = len(self.free)
        self.requires_grad_(True)

    def trained(self) -> Iterator[nn.Parameter]:
        """Masks that require a gradient."""
        return (mask for mask in self.free if mask.requires_grad)

    def forward(self, unit: int, maps: Tensor, levels: Tensor, *, channels_last: bool) -> Tensor:
        """Feature maps after a unit, each scaled by the mask of its own level.

        Args:
            unit: index of the unit, from 0.
            maps: [b, C, H, W], or [b, H, W, C] with `channels_last`.
            levels: i64[b], from 1.
        """
        if unit < len(self.free) - self._used:
            return maps
        rows = torch.sigmoid(self.free[unit])[levels - 1].to(maps.dtype)
        return maps * (rows[:, None, None, :] if channels_last else rows[:, :, None, None])
