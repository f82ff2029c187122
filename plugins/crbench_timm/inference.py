"""timm's networks as they extract: without the batch normalisations that can be folded."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

from crbench.api import folded

Network = TypeVar("Network", bound=nn.Module)


def fast_form(network: Network, size: tuple[int, int]) -> Network:
    """A copy of a network in evaluation mode, folded; see `crbench.api.folded`.

    Args:
        size: (height, width) of its input in pixels.
    """
    from timm.layers.norm_act import BatchNormAct2d  # here, see crbench_timm.architectures

    image = torch.zeros(1, 3, *size, device=next(network.parameters()).device)
    # timm's own normalisation goes on with dropout and activation
    return folded(network, image, rest={BatchNormAct2d: lambda norm: nn.Sequential(norm.drop, norm.act)})
