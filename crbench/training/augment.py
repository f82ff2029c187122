"""Random changes of a whole batch of images at once, on the batch's device and without a loop over images."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from crbench.data.preprocess import Preprocess
from crbench.training.recipe import Recipe

ERASED_AREA = (0.02, 0.4)
ERASED_ASPECT = 0.3
ERASE_ATTEMPTS = 10


def augment(images: Tensor, recipe: Recipe, preprocess: Preprocess, generator: torch.Generator) -> Tensor:
    """Mirror, pad and crop, normalise, erase: network input from decoded images.

    Args:
        images: u8[b, height, width, 3] at the network's input size.
        generator: on the CPU whatever the device, so that every device draws the same numbers.

    Returns:
        f32[b, 3, height, width] in channels-last memory order.
    """
    moved = crop_and_flip(images, pad=recipe.pad, flip=recipe.flip, generator=generator)
    mean = torch.tensor(preprocess.mean, device=images.device)
    std = torch.tensor(preprocess.std, device=images.device)
    inputs = torch.addcmul(-mean / std, moved, 1 / (255 * std))
    if recipe.erase:
        inputs = erase(inputs, probability=recipe.erase, fill=recipe.erase_fill, generator=generator)
    return inputs.permute(0, 3, 1, 2)


def crop_and_flip(images: Tensor, *, pad: int, flip: float, generator: torch.Generator) -> Tensor:
    """A crop of the same size from each image with `pad` black pixels around it, mirrored with probability `flip`.

    One gather for the whole batch: shape and dtype as `images`, [b, height, width, 3].
    """
    count, height, width, _ = images.shape
    top, left = torch.randint(0, 2 * pad + 1, (2, count, 1), generator=generator)
    mirrored = torch.rand(count, 1, generator=generator) < flip
    columns = torch.arange(width).expand(count, width)
    rows = (top + torch.arange(height)).to(images.device)  # [b, height]
    columns = (left + torch.where(mirrored, columns.flip(1), columns)).to(images.device)  # [b, width]
    padded = functional.pad(images, (0, 0, pad, pad, pad, pad))
    which = torch.arange(count, device=images.device)
    return padded[which[:, None, None], rows[:, :, None], columns[:, None, :]]


def erase(inputs: Tensor, *, probability: float, fill: str = "mean", generator: torch.Generator) -> Tensor:
    """Fill a random rectangle of each image, with a probability.

    Zhong et al., "Random Erasing Data Augmentation", AAAI 2020, Algorithm 1: area and aspect are drawn until the
    rectangle fits, here at most `ERASE_ATTEMPTS` times.

    Args:
        inputs: f32[b, height, width, 3], normalised.
        fill: ``mean``, the mean colour (0), as in Luo et al., CVPRW 2019; or ``noise``, N(0, 1) for each value.
    """
    count, height, width, _ = inputs.shape
    draws = torch.rand(5, count, ERASE_ATTEMPTS, generator=generator, dtype=torch.float64)
    low, high = ERASED_AREA
    area = height * width * (low + (high - low) * draws[0])
    aspect = ERASED_ASPECT + (1 / ERASED_ASPECT - ERASED_ASPECT) * draws[1]
    tall, wide = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
    fits = (tall < height) & (wide < width)
    top, left = (draws[2] * (height - tall + 1)).floor(), (draws[3] * (width - wide + 1)).floor()
    first = fits.to(torch.uint8).argmax(dim=1, keepdim=True)
    wanted = fits.any(dim=1) & (draws[4, :, 0] < probability)
    tall, wide, top, left = (values.gather(1, first) for values in (tall, wide, top, left))  # [b, 1] each
    y, x = torch.arange(height), torch.arange(width)
    in_rows = (y >= top) & (y < top + tall) & wanted[:, None]
    in_columns = (x >= left) & (x < left + wide)
    erased = in_rows[:, :, None, None] & in_columns[:, None, :, None]
    if fill == "noise":
        noise = torch.randn(inputs.shape, generator=generator)
        return torch.where(erased.to(inputs.device), noise.to(inputs.device), inputs)
    return inputs.masked_fill(erased.to(inputs.device), 0.0)
