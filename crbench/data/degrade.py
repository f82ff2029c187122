"""Make an LR image from an HR one: shrink it by a rate, blur it, add noise, and write and read it by a codec.

Images are Pillow images. Libraries disagree on "bilinear" by up to several points of mAP, so
Pillow's kernels are the definition, and the tests hold pixels worked out by hand.
"""

from __future__ import annotations

import io
import math
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from crbench.data.draws import hashes, repeated
from crbench.protocol.parse import Codec

if TYPE_CHECKING:
    from PIL.Image import Image

    from crbench.protocol import ImageRules

_POINT_KERNELS = ("nearest", "bilinear", "bicubic")

_SIMPLE = 1000
"""Denominator, at most, of a factor that is taken for a fraction."""

_ROUNDING = 2.0**-21
"""More than the roundings of a quotient of rates, which are float32."""


@lru_cache(maxsize=1024)
def exact_factor(factor: float) -> Fraction:
    """The fraction that a factor stands for: 5/3 of an image at rate 3 that is shown at 5, 11/5 of the rate 2.2.

    In floating point 100 / (5 / 3) may come out below 60, and an image would lose a line.

    Example:
        >>> exact_factor(1.6666666), exact_factor(2.200000047)
        (Fraction(5, 3), Fraction(11, 5))
    """
    simple = Fraction(factor).limit_denominator(_SIMPLE)
    return simple if abs(simple - Fraction(factor)) <= factor * _ROUNDING else Fraction(factor)


def lr_size(size: tuple[int, int], factor: float, rounding: str) -> tuple[int, int]:
    """Size of the LR copy, each side divided by the `exact_factor`, rounded by `rounding` and at least 1.

    Example:
        >>> lr_size((48, 128), 3, "floor")
        (16, 42)
    """
    half = Fraction(1, 2)
    rounded = {"floor": math.floor, "ceil": math.ceil, "round": lambda x: math.floor(x + half)}[rounding]
    exact = exact_factor(factor)
    return max(1, rounded(size[0] / exact)), max(1, rounded(size[1] / exact))


def resample(image: Image, size: tuple[int, int], kernel: str, *, antialias: bool = True) -> Image:
    """Resize to `size` (width, height) with a kernel by name.

    Args:
        antialias: widen the kernel by the scale when shrinking (Pillow's ``resize``). Without it the kernel samples
            its nearest source pixels only, as OpenCV's ``INTER_LINEAR`` does.

    Raises:
        ValueError: the kernel has no form without antialiasing.
    """
    import PIL.Image

    name = kernel.upper()
    if antialias or kernel == "nearest":
        # Width, then height, each rounded to 8 bits: in one call, Pillow 13 takes the other order than all before it.
        narrow = image.resize((size[0], image.height), PIL.Image.Resampling[name])
        return narrow.resize(size, PIL.Image.Resampling[name])
    if kernel not in _POINT_KERNELS:
        raise ValueError(f"kernel {kernel!r} always antialiases; without it choose one of {', '.join(_POINT_KERNELS)}")
    scale_x, scale_y = image.width / size[0], image.height / size[1]
    return image.transform(size, PIL.Image.Transform.AFFINE, (scale_x, 0, 0, 0, scale_y, 0), PIL.Image.Resampling[name])


def write_image(image: Image, file: Path | BinaryIO, codec: Codec) -> None:
    """Write `image` with a codec; JPEG with chroma 4:2:0, as most tools do."""
    if codec.form == "jpeg":
        image.save(file, "JPEG", quality=codec.quality, subsampling="4:2:0")
    else:
        image.save(file, "PNG")


def through_codec(image: Image, codec: Codec | None) -> Image:
    """The image as it is read back after `write_image`; None leaves it as it is."""
    import PIL.Image

    if codec is None:
        return image
    buffer = io.BytesIO()
    write_image(image, buffer, codec)
    with PIL.Image.open(buffer) as decoded:
        return decoded.convert("RGB")


def degrade(image: Image, factor: float, rules: ImageRules, name: str = "") -> Image:
    """The image as a protocol shows it: shrunk by `factor` (1 = as stored), degraded and passed through the codec.

    The result keeps its small size; up-sampling to a network's input is the backbone's preprocessing.

    Args:
        factor: rate over native rate, as float32 rates give it, see `exact_factor`.
        name: the digest of the stored image; with `factor` it decides the draws of noise, so that whatever is found
            again by the content of an image was made of the same pixels.
    """
    if exact_factor(factor) == 1:
        return through_codec(image, rules.codec) if rules.encode_hr else image
    if rules.full_size is not None:
        height, width = rules.full_size
        image = resample(image, (width, height), "bilinear")
    for step in rules.steps:
        if step.kind == "shrink":
            size = lr_size(image.size, factor, rules.rounding)
            image = resample(image, size, rules.kernel, antialias=rules.antialias)
        elif step.kind == "blur":
            image = blurred(image, step.amount)
        elif step.kind == "noise":
            image = noisy(image, step.amount, f"{name}|x{float(exact_factor(factor)):g}")
        else:
            image = through_codec(image, Codec("jpeg", int(step.amount)))
    return through_codec(image, rules.codec)


def blurred(image: Image, sigma: float) -> Image:
    """An image after a Gaussian blur, each pixel rounded; beyond its border the outermost pixels go on."""
    import PIL.Image
    from scipy.ndimage import gaussian_filter

    pixels = np.asarray(image, dtype=np.float64)
    return PIL.Image.fromarray(_rounded(gaussian_filter(pixels, (sigma, sigma, 0), mode="nearest")))


def noisy(image: Image, sigma: float, name: str) -> Image:
    """An image with noise of its own in each value, the same on every machine.

    Each number is the sum of twelve uniform ones of 16 bits, whose deviation is 1: a normal one to within 0.01 of its
    distribution. Sums of integers are exact, where normal numbers of libraries differ in their last bits.
    """
    import PIL.Image

    pixels = np.asarray(image, dtype=np.float64)
    words = repeated(hashes("degradation|noise", [name]), np.arange(3 * pixels.size, dtype=np.uint64)[:, None])
    uniform = words.astype("<u8").view("<u2").reshape(pixels.size, 12)
    drawn = (uniform.sum(axis=1, dtype=np.int64) - 6 * 65535) / 65536
    return PIL.Image.fromarray(_rounded(pixels + sigma * drawn.reshape(pixels.shape)))


def _rounded(pixels: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.clip(np.floor(pixels + 0.5), 0, 255).astype(np.uint8)
