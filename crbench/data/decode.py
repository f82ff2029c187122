"""Read image files safely: every readable kind becomes 8-bit RGB by a fixed rule, every bad one a `DataError`."""

from __future__ import annotations

import hashlib
import io
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import numpy as np

from crbench.errors import DataError
from crbench.inputs import read_input

if TYPE_CHECKING:
    from PIL.Image import Image

_DECODING_ERRORS = (OSError, SyntaxError, ValueError, EOFError, TypeError, KeyError, IndexError, struct.error)
"""What Pillow's decoders raise for damaged files."""


@attrs.frozen(eq=False)
class StoredImage:
    """An image of a data set as it is stored, with the digest of the very bytes that it was decoded from.

    A run that knows the digest of an image beforehand sees by it that the image was replaced meanwhile.

    Attributes:
        image: in RGB, upright, at its stored size.
        digest: what `crbench.api.interfaces.Dataset.digests` gives for the same bytes.
    """

    image: Image
    digest: str


def image_digest(content: bytes) -> str:
    """16 hex digits of BLAKE2b over the bytes of an image.

    Example:
        >>> image_digest(b"")
        'e4a6a0577479b2b4'
    """
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def read_stored(path: Path) -> StoredImage:
    """The image in a file, as `read_rgb` has it, and `image_digest` of the file; both of one reading.

    Raises:
        DataError: as for `read_rgb`.
    """
    content = _bytes(path)
    return StoredImage(_decoded(content, path), image_digest(content))


def read_rgb(path: Path) -> Image:
    """The first frame of an image file: mode RGB, 8 bits per channel, upright.

    Fixed conversions: 16-bit values keep their high byte (``>> 8``); an alpha channel is dropped, not blended; palettes
    are looked up; CMYK follows Pillow's formula, without a colour profile; EXIF orientation is applied.

    Args:
        path: any file that Pillow can open.

    Raises:
        DataError: missing, empty, truncated, not an image, floating-point, or larger than Pillow's
            ``MAX_IMAGE_PIXELS``; one line that begins with the path.
    """
    return _decoded(_bytes(path), path)


def _decoded(content: bytes, path: Path) -> Image:
    from PIL import ImageOps

    try:
        with _open(content, path) as image:
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return _to_rgb(image)
    except _DECODING_ERRORS as error:
        raise DataError(f"{path}: damaged or truncated image: {_reason(error)}") from error


def read_size(path: Path) -> tuple[int, int]:
    """(width, height) in pixels as stored, from the header alone.

    Raises:
        DataError: as for `read_rgb`, as far as the header shows it.
    """
    with _open(_bytes(path), path) as image:
        return image.size


def _open(data: bytes, path: Path) -> Image:
    """The image with its header read and its pixels not yet decoded; `path` is for messages."""
    import PIL.Image

    if not data:
        raise DataError(f"{path}: empty file (0 bytes); expected an image")
    try:
        image = PIL.Image.open(io.BytesIO(data))
    except PIL.UnidentifiedImageError as error:
        raise DataError(f"{path}: not an image that Pillow can read") from error
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning) as error:
        raise DataError(f"{path}: too many pixels, refused as a decompression bomb") from error
    except _DECODING_ERRORS as error:
        raise DataError(f"{path}: damaged image header: {_reason(error)}") from error
    if PIL.Image.MAX_IMAGE_PIXELS is not None and image.width * image.height > PIL.Image.MAX_IMAGE_PIXELS:
        raise DataError(f"{path}: {image.width} x {image.height} pixels, refused as a decompression bomb")
    return image


def _bytes(path: Path) -> bytes:
    try:
        return read_input(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be opened: {error.strerror or error}") from error


def _to_rgb(image: Image) -> Image:
    import PIL.Image

    if image.mode == "RGB":
        return image.copy()
    if image.mode == "F":
        raise ValueError("floating-point pixels have no agreed range; expected 8 or 16 bits")
    if image.mode.startswith("I"):
        high = np.clip(np.asarray(image).astype(np.int64) >> 8, 0, 255).astype(np.uint8)
        return PIL.Image.fromarray(high).convert("RGB")
    if "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
