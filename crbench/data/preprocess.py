"""From an image to network input; training and extraction share it, so that they see the same pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.data.degrade import resample
from crbench.errors import DataError

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image


@attrs.frozen
class Preprocess:
    """How an image becomes network input; data, so that it can be part of a cache key.

    Attributes:
        size: (height, width) in pixels; LR and HR images alike are resized to it.
        mean, std: per channel, on values in [0, 1].
        interpolation: kernel of the resize, by Pillow's name; it antialiases.
    """

    size: tuple[int, int] = (256, 128)
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    interpolation: str = "bilinear"


def image_array(image: Image, preprocess: Preprocess) -> NDArray[np.uint8]:
    """An image at the network's input size, u8[height, width, 3]."""
    height, width = preprocess.size
    there = image.size == (width, height)  # resizing would copy it twice
    resized = image if there else resample(image, (width, height), preprocess.interpolation)
    array = np.asarray(resized, dtype=np.uint8)
    if array.shape != (height, width, 3):
        raise DataError(f"an image has shape {array.shape}, expected RGB")
    return array


class Normaliser:
    """Makes network input of images at the network's input size, on one device.

    Mean and standard deviation are repeated over a line of pixels, so that each pass runs over whole lines: 3 to 4
    times as fast on a CPU as over groups of three values, and the same value for value. They are put on the device
    once, since a copy from ordinary memory would wait for all work before it.

    Args:
        preprocess: its `size` must be that of the images.
        device: torch device name.

    Example:
        >>> import torch
        >>> normalise = Normaliser(Preprocess(size=(1, 1)), "cpu")
        >>> normalise(torch.tensor([[[[255, 0, 51]]]], dtype=torch.uint8)).flatten().tolist()
        [1.0, -1.0, -0.6000000238418579]
    """

    def __init__(self, preprocess: Preprocess, device: str) -> None:
        import torch

        width = preprocess.size[1]
        self._mean = torch.tensor(preprocess.mean, device=device).repeat(width)
        self._std = torch.tensor(preprocess.std, device=device).repeat(width)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """f32[b, 3, height, width], laid out channels last, from u8[b, height, width, 3]."""
        lines = images.flatten(2).float().div_(255).sub_(self._mean).div_(self._std)  # [b, height, 3 * width]
        return lines.view(images.shape).permute(0, 3, 1, 2)
