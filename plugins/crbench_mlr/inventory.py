"""What a scan of a data set's folder gives: the index of its images and the way to their bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.api import ImageFile, ImageFiles, ImageSource, Index, count_images, is_image
from crbench.errors import DataError


@attrs.frozen(eq=False)
class Inventory:
    """What is there.

    Attributes:
        index: the images that splits are drawn from, in order of their keys.
        source: gives their pixels.
        figures: counts of what was found, with the names of `crbench.api.DatasetInfo.counts`.
        notes: what was left out of the index, and how often; becomes part of every split's notes.
        missing: what lists or the other camera promise and the folder does not hold.
        extra: files that do not belong.
        test_sets: official test identities by trial, where there are several such sets (CUHK03).
    """

    index: Index
    source: ImageSource
    figures: Mapping[str, int]
    notes: Mapping[str, int] = attrs.field(factory=dict)
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    test_sets: tuple[NDArray[np.int64], ...] = ()


def from_images(
    name: str, found: Iterable[ImageFile], *, others: Iterable[Path] = (), missing: Iterable[str] = ()
) -> Inventory:
    """The inventory of images that are files.

    Args:
        name: the source data set; part of every random draw.
        others: files that were passed over, as their names do not parse or no list names them; those that look like
            images are counted in the notes.

    Raises:
        DataError: there is no image.
    """
    files = ImageFiles(found)
    if not files.listed:
        raise DataError(f"{name}: the folders are there, but they hold no images")
    index = files.index(name)
    passed_over = sorted(others)
    unnamed = sum(is_image(path) for path in passed_over)
    return Inventory(
        index=index,
        source=files,
        figures=count_images(index),
        notes={"images that names or lists leave out": unnamed} if unnamed else {},
        missing=tuple(missing),
        extra=tuple(str(path) for path in passed_over),
    )
