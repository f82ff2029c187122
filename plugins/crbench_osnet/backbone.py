"""`OSNetBackbone`: a file of the model zoo as a backbone."""

from __future__ import annotations

import copy
from pathlib import Path

import torch

from crbench.api import Batch, Encoded, Preprocess, folded, load_weights
from crbench.errors import MissingWeightsError
from crbench_osnet.network import FEATURES, VARIANTS, OSNet

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class OSNetBackbone:
    """OSNet with weights from a file.

    Args:
        weights: a file of the torchreid model zoo, or any with its key names; a classifier in it, whatever its size, is
            passed over. None is an error that tells where to get one.
        device: torch device name.
        variant: a name of `crbench_osnet.network.VARIANTS`.
        size: (height, width) of the input in pixels.

    Attributes:
        dim: feature length, 512.
        preprocess: how images become input: ImageNet's mean and standard deviation, bilinear, as torchreid does.
        model: the network, in evaluation mode; its state dict has the zoo's keys.

    Raises:
        DataError: weights are missing or do not fit.
        ValueError: a parameter out of range.
    """

    dim = FEATURES

    def __init__(
        self,
        *,
        weights: Path | None = None,
        device: str = "cpu",
        variant: str = "x1_0",
        size: tuple[int, int] = (256, 128),
    ) -> None:
        if variant not in VARIANTS:
            raise ValueError(f"variant: {variant!r} is not one of {', '.join(VARIANTS)}")
        if min(size) < 16:
            raise ValueError(f"size: {size} is out of range; expected (height, width) of at least 16 pixels")
        if weights is None:
            raise MissingWeightsError(f"osnet needs weights: give a file for {variant} with --weights")
        model = OSNet(VARIANTS[variant])
        load_weights(model, weights, heads=("classifier.",))
        self.model = model.to(device).eval()
        self.preprocess = Preprocess(size=size, mean=IMAGENET_MEAN, std=IMAGENET_STD)

    def extract(self, batch: Batch) -> Encoded:
        """Features f32[b, 512] of ``batch.inputs`` f32[b, 3, height, width], on the model's device."""
        with torch.inference_mode():
            x = self.model(batch.inputs.to(next(self.model.parameters()).device))
        # an ordinary tensor, so that an aligner may use it in a computation with gradients
        return Encoded(x=x.clone())

    def for_inference(self) -> OSNetBackbone:
        """A backbone of the same features but for roundings, whose batch normalisations are folded."""
        faster = copy.copy(self)
        image = torch.zeros(1, 3, *self.preprocess.size, device=next(self.model.parameters()).device)
        faster.model = folded(self.model, image)
        return faster
