"""From a picture to network input; training and extraction share it, so that they see the same pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crbench.degrade import resample
from crbench.errors import DataError
from crbench.interfaces import Preprocess

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image


def picture_array(image: Image, preprocess: Preprocess) -> NDArray[np.uint8]:
    """A picture at the network's input size, u8[height, width, 3]."""
    height, width = preprocess.size
    resized = resample(image, (width, height), preprocess.interpolation)
    array = np.asarray(resized, dtype=np.uint8)
    if array.shape != (height, width, 3):
        raise DataError(f"a picture has shape {array.shape}, expected RGB")
    return array


def to_input(pictures: NDArray[np.uint8], preprocess: Preprocess) -> torch.Tensor:
    """Normalised network input f32[b, 3, height, width] from u8[b, height, width, 3]."""
    import torch

    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div_(255)
    mean = torch.tensor(preprocess.mean).view(1, 3, 1, 1)
    std = torch.tensor(preprocess.std).view(1, 3, 1, 1)
    return x.sub_(mean).div_(std)
