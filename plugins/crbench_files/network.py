"""What networks from files share: how images become their input, and first batches that show whether they work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import torch
from torch import Tensor

from crbench.api import KERNELS, Preprocess
from crbench.errors import ConfigError, DataError

CHANNELS = ("rgb", "bgr")

_RANGES = {
    "0-1": (1.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "0-255": (255.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
"""Ranges of values with their largest, and with the usual mean and standard deviation in RGB."""

TOLERANCE = 2.0**-8
"""By which share of the largest value two features of one image may differ: more than half precision and other kernels
for another batch change, and far less than batch statistics or dropout do."""


@attrs.frozen
class Input:
    """How images become the input of a network.

    Attributes:
        preprocess: gives normalised RGB.
        bgr: the network takes blue, green, red.

    Example:
        >>> Input.of((256, 128), values="0-255", channels="bgr", mean=(104, 117, 123)).preprocess.std
        (0.00392156862745098, 0.00392156862745098, 0.00392156862745098)
    """

    preprocess: Preprocess
    bgr: bool = False

    @classmethod
    def of(
        cls,
        size: tuple[int, int],
        *,
        mean: tuple[float, ...] = (),
        std: tuple[float, ...] = (),
        interpolation: str = "bilinear",
        channels: str = "rgb",
        values: str = "0-1",
    ) -> Input:
        """Checked, from what a user says of a network.

        Args:
            mean, std: per channel in the network's order, on values of its range; empty = ImageNet's for ``0-1``, and 0
                and 1 for ``0-255``, so that the network gets the values as they are.
            channels: ``rgb`` or ``bgr``.
            values: ``0-1`` or ``0-255``: of which range `mean` and `std` are.

        Raises:
            ValueError: a size or standard deviation that is not positive, an unknown kernel, order or range, or another
                number of channels than three.
        """
        if min(size) < 1:
            raise ValueError(f"size: {size} is out of range; expected (height, width) in pixels")
        if interpolation not in KERNELS:
            raise ValueError(f"interpolation: {interpolation!r} is not one of {', '.join(KERNELS)}")
        if channels not in CHANNELS:
            raise ValueError(f"channels: {channels!r} is not one of {', '.join(CHANNELS)}")
        if values not in _RANGES:
            raise ValueError(f"values: {values!r} is not one of {', '.join(_RANGES)}")
        bgr, (most, usual_mean, usual_std) = channels == "bgr", _RANGES[values]
        ordered = [
            _in_rgb(name, given, bgr) or usual
            for name, given, usual in (("mean", mean, usual_mean), ("std", std, usual_std))
        ]
        if min(ordered[1]) <= 0:
            raise ValueError(f"std: {std} is out of range; expected positive numbers")
        scaled = [(one[0] / most, one[1] / most, one[2] / most) for one in ordered]
        return cls(Preprocess(size=size, mean=scaled[0], std=scaled[1], interpolation=interpolation), bgr)

    def ordered(self, inputs: Tensor) -> Tensor:
        """f32[b, 3, height, width] of RGB in the order of the network."""
        return inputs.flip(1) if self.bgr else inputs


def _in_rgb(name: str, given: tuple[float, ...], bgr: bool) -> tuple[float, ...]:
    if len(given) not in (0, 3):
        raise ValueError(f"{name}: {given} has {len(given)} values; expected one for each of three channels")
    return given[::-1] if bgr else given


def refuse_weights(file: Path, weights: Path | None) -> None:
    """The file holds its weights already.

    Raises:
        ConfigError: others were given.
    """
    if weights is not None:
        raise ConfigError(f"{file} holds its own weights, given --weights {weights} too; leave out --weights")


def probe(network: Callable[[Tensor], Tensor], images: Input, file: Path, *, fixed: int | None = None) -> int:
    """Length of the features that `network` gives for images f32[b, 3, h, w] in RGB, after a look at how it gives them.

    It is asked for two different images alone and together, and for both once more. A feature must depend on its own
    image and on nothing else, to within `TOLERANCE`.

    Args:
        fixed: the only batch that the network takes; an image is alone where all its batch shows it. None = any.

    Raises:
        DataError: features of another shape, or not finite; features that depend on the batch, are those of the first
            image for all, or change from call to call.
    """
    first, second = _images(images.preprocess)
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


def _images(preprocess: Preprocess) -> tuple[Tensor, Tensor]:
    """Two images f32[3, *size] that have nothing in common, normalised."""
    noise = torch.rand(2, 3, *preprocess.size, generator=torch.Generator().manual_seed(0)) / 2
    colours = torch.tensor([[0.5, 0.1, 0.3], [0.1, 0.5, 0.0]])[:, :, None, None]
    mean, std = (torch.tensor(values)[:, None, None] for values in (preprocess.mean, preprocess.std))
    first, second = (noise + colours - mean) / std
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
