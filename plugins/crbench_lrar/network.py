"""The resolution-adaptive network: body, masks, last fully-connected layer, and the length of each feature."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import torch
from attrs import validators as v
from torch import Tensor, nn
from torch.nn import functional

from crbench_lrar.bodies import UNITS, Body
from crbench_lrar.lengths import LENGTHS, prefix_lengths, prefix_mask
from crbench_lrar.masks import ResolutionMasks

MASKS = ("none", *UNITS)


@attrs.frozen(kw_only=True)
class Shape:
    """What decides the parameters of a network beside its body.

    Attributes:
        masks: after all ``stages``, all ``blocks``, or ``none``.
        mask_mean: mean of the Gaussian that masks start from.
        length: see `crbench_lrar.lengths`; with ``gumbel`` a head chooses the prefix instead of the level.
        embedding: a fully-connected layer d -> d without activation follows the pooling.

    Raises:
        ValueError: an unknown choice.
    """

    masks: str = attrs.field(default="stages", validator=v.in_(MASKS))
    mask_mean: float = 0.0
    length: str = attrs.field(default="cumulative", validator=v.in_(LENGTHS))
    embedding: bool = True


class LrarNetwork(nn.Module):
    """Feature and code of images whose resolution level is known (Wu et al., TIP 2023, Sec. III).

    Args:
        body: see `crbench_lrar.bodies`.
        rates: rate of each level, highest rate first, ending with 1.

    Attributes:
        dim: feature length d.
        masks: a `ResolutionMasks` without units where there are no masks.
        rates, lengths: buffers f32[m] and i64[m]: rate and prefix length of each level, lowest level first.
    """

    rates: Tensor
    lengths: Tensor

    def __init__(self, body: Body, rates: Sequence[float], shape: Shape) -> None:
        super().__init__()
        self.dim = body.dim
        self.body = body
        units = body.units("stages" if shape.masks == "none" else shape.masks)
        # a plain list: these modules are the body's own
        self._units = [unit.modules for unit in units]
        channels = [] if shape.masks == "none" else [unit.channels for unit in units]
        self.masks = ResolutionMasks(channels, len(rates), shape.mask_mean)
        self.embedding = nn.Linear(self.dim, self.dim) if shape.embedding else nn.Identity()
        self.chooser = nn.Linear(self.dim, len(rates)) if shape.length == "gumbel" else None
        self.register_buffer("rates", torch.tensor(rates, dtype=torch.float32))
        self.register_buffer("lengths", torch.tensor(prefix_lengths(self.dim, rates, shape.length)))

    def pooled(self, inputs: Tensor, levels: Tensor) -> Tensor:
        """f32[b, dim] before the fully-connected layer; each image passes the masks of its own level."""
        maps = self.body.stem(inputs)
        for number, modules in enumerate(self._units):
            for module in modules:
                maps = module(maps)
            if len(self.masks):
                maps = self.masks(number, maps, levels, channels_last=self.body.channels_last)
        return self.body.head(maps)

    def forward(self, inputs: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Whole feature vectors f32[b, dim], and their code as weights [b, dim]: 1 in the columns that count, else 0.

        In training, the gradient of the ``gumbel`` head passes through the weights.

        Args:
            inputs: f32[b, 3, height, width].
            levels: i64[b], from 1.
        """
        pooled = self.pooled(inputs, levels)
        features = self.embedding(pooled)
        prefixes = prefix_mask(self.lengths, self.dim).to(features.dtype)  # [m, dim]
        if self.chooser is None:
            return features, prefixes[levels - 1]
        return features, self._choice(self.chooser(pooled)) @ prefixes

    def _choice(self, logits: Tensor) -> Tensor:
        """One-hot [b, m]: straight-through Gumbel-softmax of temperature 1 in training, else the largest logit."""
        if self.training:
            return functional.gumbel_softmax(logits.float(), tau=1.0, hard=True).to(logits.dtype)
        return functional.one_hot(logits.argmax(dim=1), logits.shape[1]).to(logits.dtype)
