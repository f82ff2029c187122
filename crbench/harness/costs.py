"""What a method costs whatever the machine: its parameters, and multiply-accumulate operations for one image or sample.

torch counts the operations of matrix products, convolutions and attention; what is done element by element it does not
count, nor what other libraries do.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np
import torch
from torch import nn

from crbench import linear
from crbench.api.capabilities import CountsParameters, HoldsNetwork
from crbench.api.interfaces import Backbone, Precomputed, Transform
from crbench.denormals import denormals_flushed
from crbench.errors import PluginError
from crbench.records import Batch, Samples, TestFeatures
from crbench.registry.guard import Owner, plugin_stage


@attrs.frozen
class NetworkCost:
    """Parameters of a backbone's network, and its multiply-accumulate operations for one image; None = not known."""

    parameters: int | None = None
    macs: int | None = None

    @classmethod
    def of(cls, backbone: Backbone | Precomputed, rows: Samples, device: str, owner: Owner) -> NetworkCost:
        """The cost of a backbone that is not compiled yet; it encodes a black image once.

        Args:
            rows: the first one gives the image's rate and camera.

        Raises:
            PluginError: it counts its parameters wrongly.
        """
        if isinstance(backbone, Precomputed) or (parameters := network_parameters(backbone, owner)) is None:
            return cls()
        batch = Batch(
            inputs=torch.zeros(1, 3, *backbone.preprocess.size, device=device),
            rates=rows.rates[:1],
            camids=rows.camids[:1],
            modality=rows.modality,
        )
        try:
            with plugin_stage(owner, "extract", passing=()), denormals_flushed():
                flops = count_flops(lambda: backbone.extract(batch))
        except PluginError:
            flops = 0  # extraction comes next and reports the fault, unless the backbone only refuses a batch of one
        return cls(parameters=parameters, macs=flops // 2 or None)


def network_parameters(backbone: Backbone | None, owner: Owner) -> int | None:
    """Parameters of a backbone's torch network: what it says, else all; None where it has no network that is known.

    Raises:
        PluginError: see `said_parameters`.
    """
    if not (isinstance(backbone, HoldsNetwork) and isinstance(backbone.model, nn.Module)):
        return None
    count = said_parameters(backbone, owner)
    return sum(parameter.numel() for parameter in backbone.model.parameters()) if count is None else count


def said_parameters(part: object, owner: Owner) -> int | None:
    """Learned parameters of a transform or backbone as it says; None where it says nothing.

    Raises:
        PluginError: it fails, or says something else than a whole number from 0.
    """
    with plugin_stage(owner, "parameter_count", passing=()):
        count: object = part.parameter_count if isinstance(part, CountsParameters) else None
    if count is not None and (type(count) is not int or count < 0):
        raise PluginError(f"{owner} failed at parameter_count: expected a whole number from 0, got {count!r}")
    return count


def transform_macs(transform: Transform, feats: TestFeatures, owner: Owner) -> int | None:
    """Multiply-accumulate operations of a transform for one sample, the first of `feats`; None = not known.

    A transform that gives its features back does nothing; one that changes them without an operation that torch counts
    is not known.

    Raises:
        PluginError: it fails.
    """
    if not len(feats):
        return None
    one = feats.take(np.arange(1))
    given: list[object] = []
    with plugin_stage(owner, "transform", passing=()), denormals_flushed():
        flops = count_flops(lambda: given.append(transform(one)))
    same = isinstance(given[0], TestFeatures) and given[0].x is one.x
    return 0 if same else flops // 2 or None


def count_flops(call: Callable[[], object]) -> int:
    """Floating-point operations of a call as torch counts them, two for each multiply-accumulate operation."""
    # It imports Triton, which a run whose cells are kept has no use for.
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False, custom_mapping=linear.flops()) as counter:
        call()
    return int(counter.get_total_flops())
