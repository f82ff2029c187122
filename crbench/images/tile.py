"""One image as a tile of a page or a figure: what a network got of it is seen, and its top can be blurred."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

SIZE = 64, 128
"""Width and height of a tile, in pixels."""

_FACE = 0.25
"""Share of the height of an image, from its top, in which most faces are."""


def tile(image: Image, *, blur: bool = False) -> Image:
    """The image in RGB at `SIZE`; a small one is enlarged without smoothing, so that its pixels can be seen.

    Args:
        blur: blur the top quarter; nothing looks for faces.
    """
    from PIL import ImageFilter
    from PIL.Image import Resampling

    small = image.height < SIZE[1]
    drawn = image.convert("RGB").resize(SIZE, Resampling.NEAREST if small else Resampling.BILINEAR)
    if blur:
        top = (0, 0, SIZE[0], round(SIZE[1] * _FACE))
        drawn.paste(drawn.crop(top).filter(ImageFilter.GaussianBlur(SIZE[0] / 8)), top)
    return drawn
