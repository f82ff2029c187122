"""The vector-panning module: z + Gate(VP(z)), Eqs. 3 to 6 and Fig. 2 of arXiv:2510.00936v1."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

Gate = Literal["tanh", "none"]
Init = Literal["normal", "framework"]


class VectorPanning(nn.Module):
    """Adds a bounded, learned offset to a feature.

    The offset f(z) is `blocks` times Linear, LayerNorm, ReLU, then Linear and the gate; its layers are named as in the
    official weights (``model.0.weight``, ...). With a feature of 3,840 columns and the defaults there are 24,139,520
    parameters. The weights are not set before `initialise` or ``load_state_dict``.

    Args:
        dim: feature length D.
        hidden: width of the blocks.
        blocks: number of blocks, at least 1.
        gate: ``tanh`` bounds each column of the offset to [-1, 1]; ``none`` leaves it.
        residual: the output is z + f(z); otherwise f(z) alone (Table 4a, "w/o residual").
    """

    def __init__(
        self, dim: int, *, hidden: int = 2048, blocks: int = 3, gate: Gate = "tanh", residual: bool = True
    ) -> None:
        super().__init__()
        self.dim = dim
        self.residual = residual
        layers: list[nn.Module] = []
        width = dim
        # Built without storage, so that no value is drawn from the global generator.
        with torch.device("meta"):
            for _ in range(blocks):
                layers += [nn.Linear(width, hidden), nn.LayerNorm(hidden), nn.ReLU()]
                width = hidden
            layers.append(nn.Linear(width, dim))
        if gate == "tanh":
            layers.append(nn.Tanh())
        self.model = nn.Sequential(*layers).to_empty(device="cpu")

    def forward(self, z: Tensor, linear: Callable[[nn.Linear, Tensor], Tensor] = nn.Linear.__call__) -> Tensor:
        """The panned features: f32[n, D] to f32[n, D].

        Args:
            linear: applies a linear layer; training has its own way to.
        """
        offset = z
        for layer in self.model:
            offset = linear(layer, offset) if isinstance(layer, nn.Linear) else layer(offset)
        return z + offset if self.residual else offset

    @torch.no_grad()
    def initialise(self, init: Init, std: float, generator: torch.Generator) -> None:
        """Draw all weights from `generator` (on the CPU); LayerNorm starts as the identity.

        Args:
            init: ``normal``: weights N(0, std^2) and biases 0, as the paper says; ``framework``: PyTorch's default for
                linear layers, U(-1/sqrt(fan_in), 1/sqrt(fan_in)) for weights and biases, as the official code has it.
            std: of ``normal``; 0.001 keeps the first offset near 0 (the other reading of the paper's N(0, 1e-3), a
                variance, would not).
            generator: of the CPU.
        """
        for layer in self.model:
            if isinstance(layer, nn.LayerNorm):
                layer.reset_parameters()
            elif isinstance(layer, nn.Linear) and init == "normal":
                layer.weight.normal_(0, std, generator=generator)
                layer.bias.zero_()
            elif isinstance(layer, nn.Linear):
                bound = 1 / math.sqrt(layer.in_features)
                layer.weight.uniform_(-bound, bound, generator=generator)
                layer.bias.uniform_(-bound, bound, generator=generator)

    def parameter_count(self) -> int:
        """Number of learned values."""
        return sum(parameter.numel() for parameter in self.parameters())
