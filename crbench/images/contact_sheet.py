"""A contact sheet of any data set: people in HR and their LR copies side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from crbench.api.interfaces import Dataset
from crbench.data.degrade import degrade
from crbench.data.draws import shuffled
from crbench.errors import ConfigError
from crbench.protocol import EvalProtocol
from crbench.records import Row, Samples, Split

if TYPE_CHECKING:
    from PIL.Image import Image

    Cell: TypeAlias = tuple[str, Image]
    """A label and the image below it."""

CELL = (128, 256)
"""Width and height in which an image is shown, in pixels; smaller ones are enlarged, larger ones shrunk."""

_LABEL, _GAP, _MAX_CAMERAS = 16, 6, 4
_PAPER, _INK = (255, 255, 255), (40, 40, 40)
_PLAIN_RATES = (2.0, 3.0, 4.0)


def contact_sheet(
    dataset: Dataset,
    protocol: EvalProtocol,
    *,
    root: Path,
    people: int = 8,
    seed: int = 0,
) -> Image:
    """Draw test persons: a query image, its LR copies at the protocol's rates, and images of other cameras.

    The persons are some of those of the first trial. LR copies are made as the protocol says and enlarged by
    ``nearest``, so that their pixels can be counted. A protocol without query rates shows 2, 3 and 4; rates up to an
    image's native rate are left out.

    Args:
        root: the folder that holds the data sets.
        people: how many persons; fewer are shown where the split has fewer.
        seed: which persons.

    Returns:
        An RGB image, two persons per row.

    Raises:
        ConfigError: `people` is below 1.
        DataError: the data are missing or an image cannot be read.
    """
    if people < 1:
        raise ConfigError(f"preview: {people} people asked for, expected at least 1")
    split = dataset.split(protocol, 0, root=root)
    both = np.intersect1d(split.query.pids, split.gallery.pids)
    candidates = both[both > 0] if (both > 0).any() else np.unique(split.query.pids)
    chosen = shuffled(f"preview|seed {seed}", candidates.tolist())[:people]
    strips = []
    for pid in chosen:
        query, others = _rows(split, int(str(pid)), seed)
        strips.append(list(_cells(dataset, protocol, query, others, root)))
    return _sheet(strips)


def _rows(split: Split, pid: int, seed: int) -> tuple[Row, list[Row]]:
    """One query row of a person, and one gallery row from each of up to four other cameras."""
    query = _any_row(split.query.take(split.query.pids == pid), seed)
    seen = split.gallery.take((split.gallery.pids == pid) & (split.gallery.camids != query.camid))
    cameras = np.unique(seen.camids)[:_MAX_CAMERAS]
    return query, [_any_row(seen.take(seen.camids == camera), seed) for camera in cameras]


def _any_row(rows: Samples, seed: int) -> Row:
    key = shuffled(f"preview|seed {seed}|pictures", rows.keys.tolist())[0]
    return rows.row(int(np.flatnonzero(rows.keys == key)[0]))


def _cells(dataset: Dataset, protocol: EvalProtocol, query: Row, others: Sequence[Row], root: Path) -> Iterator[Cell]:
    stored_image = dataset.read(query.key, root=root)
    image = stored_image.image
    stored = "" if query.native_rate == 1 else f" x{query.native_rate:g}"
    yield f"id {query.pid} cam {query.camid}{stored}", image
    for rate in protocol.split.query_rates or _PLAIN_RATES:
        if rate > query.native_rate:
            yield f"x{rate:g}", degrade(image, rate / query.native_rate, protocol.images, stored_image.digest)
    for row in others:
        yield f"cam {row.camid}", dataset.read(row.key, root=root).image


def _sheet(strips: Sequence[Sequence[Cell]]) -> Image:
    """Strips of cells, two per row."""
    from PIL import Image, ImageDraw

    width, height = CELL[0] + _GAP, CELL[1] + _LABEL + _GAP
    columns = max(len(strip) for strip in strips)
    across = min(2, len(strips))
    block = columns * width + 3 * _GAP
    sheet = Image.new("RGB", (across * block, (len(strips) + across - 1) // across * height + _GAP), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for number, strip in enumerate(strips):
        left, top = number % across * block + 2 * _GAP, number // across * height + _GAP
        for label, image in strip:
            pen.text((left, top), label, fill=_INK)
            shown = _fitted(image)
            sheet.paste(shown, (left + (CELL[0] - shown.width) // 2, top + _LABEL))
            left += width
    return sheet


def _fitted(image: Image) -> Image:
    """The image enlarged or shrunk to fit a cell, its proportions kept."""
    from PIL.Image import Resampling

    scale = min(CELL[0] / image.width, CELL[1] / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Resampling.NEAREST if scale >= 1 else Resampling.BOX)
