"""The naive baseline of Wu et al., TIP 2023, Table III: a network of its own for each LR rate."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from crbench_lrar.network import LrarNetwork


class PerRateNetworks(nn.Module):
    """Networks for the LR rates; each image passes the one of its level, HR images that of the finest LR level.

    Args:
        networks: one for each LR level, lowest level first, all with the same levels.

    Attributes:
        dim, rates, lengths: as of `LrarNetwork`.
    """

    rates: Tensor

    def __init__(self, networks: Sequence[LrarNetwork]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.dim = networks[0].dim
        self.register_buffer("rates", networks[0].rates.clone())

    def each(self) -> list[LrarNetwork]:
        """The networks, lowest level first."""
        return [network for network in self.networks if isinstance(network, LrarNetwork)]

    def forward(self, inputs: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Features and codes [b, dim] each, as of `LrarNetwork`."""
        features, codes = inputs.new_zeros(2, len(inputs), self.dim)
        number = (levels - 1).clamp(max=len(self.networks) - 1)
        for index, network in enumerate(self.each()):
            rows = (number == index).nonzero()[:, 0]
            if len(rows):
                features[rows], codes[rows] = network(inputs[rows], levels[rows])
        return features, codes
