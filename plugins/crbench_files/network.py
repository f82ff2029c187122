"""What networks from files share: how images become their input, and first batches that show whether they work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from crbench.api import KERNELS, Preprocess
from crbench.errors import ConfigError, DataError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

TOLERANCE = 2.0**-8
"""By which share of the largest value two features of one image may differ: more than half precision and other kernels
for another batch change, and far less than batch statistics or dropout do."""


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


def probe(network: Callable[[Tensor], Tensor], size: tuple[int, int], file: Path, *, fixed: int | None = None) -> int:
    """Length of the features that `network` gives for images f32[b, 3, *size], after a look at how it gives them.

    It is asked for two different images alone and together, and for both once more. A feature must depend on its own
    image and on nothing else, to within `TOLERANCE`.

    Args:
        fixed: the only batch that the network takes; an image is alone where all its batch shows it. None = any.

    Raises:
        DataError: features of another shape, or not finite; features that depend on the batch, are those of the first
            image for all, or change from call to call.
    """
    first, second = _images(size)
    together, again = (_checked(network, [first, second], fixed, file) for _ in range(2))
    alone = [_checked(network, [image], fixed, file)[:1] for image in (first, second)]
    faults = []
    if (change := _difference(together, again)) > TOLERANCE:
        faults.append(f"change from call to call, by {change:.1%}")
    if (change := _difference(together[:2], torch.cat(alone)[: len(together)])) > TOLERANCE:
        first_for_all = _difference(together[:1], together[1:2]) <= TOLERANCE
        mixed = f"change with the others of a batch, by {change:.1%}"
        faults.append("are those of the first image for all" if first_for_all else mixed)
    if faults:
        raise DataError(
            f"{file}: its features {', and '.join(faults)} (rounding: up to {TOLERANCE:.1%} of the largest value); "
            "export the network in eval mode, model.eval(), so that no batch statistics and no dropout are left in it"
        )
    return int(together.shape[1])


def _images(size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Two images f32[3, *size] that have nothing in common, with values as after `preprocessing`."""
    noise = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0)) / 2
    colours = torch.tensor([[1.0, -0.5, 0.3], [-0.5, 0.8, -1.0]])
    first, second = noise + colours[:, :, None, None]
    return first, second


def _checked(network: Callable[[Tensor], Tensor], images: list[Tensor], fixed: int | None, file: Path) -> Tensor:
    """Features of the images, which are repeated where the batch is fixed."""
    count = fixed or len(images)
    x = network(torch.stack([images[row % len(images)] for row in range(count)]))
    if x.ndim != 2 or len(x) != count or x.shape[1] == 0:
        raise DataError(
            f"{file}: the network gives shape {tuple(x.shape)} for {count} images; expected one feature vector "
            f"each, ({count}, D)"
        )
    if not bool(torch.isfinite(x).all()):
        raise DataError(
            f"{file}: the network gives NaN or infinite features for an image of noise; its weights are bad"
        )
    return x


def _difference(x: Tensor, expected: Tensor) -> float:
    """The largest difference, as a share of the largest value."""
    if x.shape != expected.shape:
        return float("inf")
    largest = max(float(x.abs().max()), float(expected.abs().max()))
    return float((x - expected).abs().max()) / largest if largest else 0.0


def flat(x: Tensor) -> Tensor:
    """Features [b, D] of an output [b, D, 1, 1]; others as they are.

    Example:
        >>> flat(torch.zeros(2, 5, 1, 1)).shape, flat(torch.zeros(2, 5, 4, 4)).shape
        (torch.Size([2, 5]), torch.Size([2, 5, 4, 4]))
    """
    return x.flatten(1) if x.ndim > 2 and all(length == 1 for length in x.shape[2:]) else x
