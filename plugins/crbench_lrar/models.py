"""The models of the backbone: one network for all rates, or one for each; how they are built and what they train on."""

from __future__ import annotations

import copy
from pathlib import Path

import attrs

from crbench.api import Samples, read_tensors
from crbench.errors import DataError
from crbench.training import seeded
from crbench_lrar.bodies import BODIES
from crbench_lrar.network import LrarNetwork, Shape
from crbench_lrar.per_rate import PerRateNetworks
from crbench_lrar.pretrained import load_imagenet

Model = LrarNetwork | PerRateNetworks


@attrs.frozen
class Blueprint:
    """A model but for its levels, which the training data decide.

    Attributes:
        architecture: a name of `crbench_lrar.bodies.BODIES`.
        per_rate: a network for each LR rate.
    """

    architecture: str
    shape: Shape
    per_rate: bool

    def build(self, rates: tuple[float, ...], seed: int, *, imagenet: bool) -> Model:
        """A model with initial weights from `seed`; per-rate networks start alike.

        Args:
            rates: rate of each level, highest rate first, ending with 1.
            imagenet: fill the body from the weights folder.

        Raises:
            DataError: the ImageNet weights are missing or do not fit.
        """
        body = BODIES[self.architecture]
        with seeded(seed):
            network = LrarNetwork(body.build(), rates, self.shape)
        if imagenet:
            load_imagenet(network.body.network, self.architecture, body)
        if not self.per_rate:
            return network
        return PerRateNetworks([network, *(copy.deepcopy(network) for _ in rates[2:])])


def networks_with_rows(model: Model, rows: Samples) -> list[tuple[LrarNetwork, Samples]]:
    """Each network with the rows that it is trained on: all, or those at its LR rate."""
    if isinstance(model, LrarNetwork):
        return [(model, rows)]
    rates = model.rates.tolist()
    return [(network, rows.take(rows.rates == rate)) for network, rate in zip(model.each(), rates, strict=False)]


def stored_rates(weights: Path) -> tuple[float, ...]:
    """The rates of the levels that a weights file was trained on.

    Raises:
        DataError: it holds none.
    """
    rates = read_tensors(weights, ("rates",)).get("rates")
    if rates is None or rates.ndim != 1 or len(rates) == 0:
        raise DataError(f"weights {weights}: no 'rates' of levels in it; it is not a file of an lrar backbone")
    return tuple(rates.float().tolist())
