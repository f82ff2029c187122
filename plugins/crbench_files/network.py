"""What networks from files share: how images become their input, and a first batch that shows whether they work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from crbench.api import KERNELS, Preprocess
from crbench.errors import ConfigError, DataError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def preprocessing(
    size: tuple[int, int],
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    interpolation: str,
) -> Preprocess:
    """A checked `Preprocess`.

    Raises:
        ValueError: a size or standard deviation that is not positive, an unknown kernel.

    Example:
        >>> preprocessing((256, 128), IMAGENET_MEAN, IMAGENET_STD, "cubic")
        Traceback (most recent call last):
        ValueError: interpolation: 'cubic' is not one of nearest, box, bilinear, hamming, bicubic, lanczos
    """
    if min(size) < 1:
        raise ValueError(f"size: {size} is out of range; expected (height, width) in pixels")
    if min(std) <= 0:
        raise ValueError(f"std: {std} is out of range; expected positive numbers")
    if interpolation not in KERNELS:
        raise ValueError(f"interpolation: {interpolation!r} is not one of {', '.join(KERNELS)}")
    return Preprocess(size=size, mean=mean, std=std, interpolation=interpolation)


def refuse_weights(file: Path, weights: Path | None) -> None:
    """The file holds its weights already.

    Raises:
        ConfigError: others were given.
    """
    if weights is not None:
        raise ConfigError(f"{file} holds its own weights, given --weights {weights} too; leave out --weights")


def feature_length(network: Callable[[Tensor], Tensor], batch: int, size: tuple[int, int], file: Path) -> int:
    """Length of the features that `network` gives for `batch` grey images f32[batch, 3, *size].

    Raises:
        DataError: features of another shape, or not finite.
    """
    x = network(torch.zeros(batch, 3, *size))
    if x.ndim != 2 or len(x) != batch or x.shape[1] == 0:
        raise DataError(
            f"{file}: the network gives shape {tuple(x.shape)} for {batch} images; expected one feature vector "
            f"each, ({batch}, D)"
        )
    if not bool(torch.isfinite(x).all()):
        raise DataError(f"{file}: the network gives NaN or infinite features for a grey image; its weights are bad")
    return int(x.shape[1])


def flat(x: Tensor) -> Tensor:
    """Features [b, D] of an output [b, D, 1, 1]; others as they are.

    Example:
        >>> flat(torch.zeros(2, 5, 1, 1)).shape, flat(torch.zeros(2, 5, 4, 4)).shape
        (torch.Size([2, 5]), torch.Size([2, 5, 4, 4]))
    """
    return x.flatten(1) if x.ndim > 2 and all(length == 1 for length in x.shape[2:]) else x
