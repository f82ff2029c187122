"""A drawing surface of two planes, and the few shapes that a figure is made of.

A shape writes the number of a material and a shade per pixel; colours are looked up once at the end. Shapes use only
``+ - * /``, square roots and comparisons, one NumPy operation each, which IEEE 754 defines to the last bit: a pixel
is the same on every machine. (``sin``, ``exp``, ``pow``, sums and matrix products are not, and do not occur.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import attrs
import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]
Plane = NDArray[np.float32]

_PLAIN = np.zeros((1, 1), dtype=np.uint8)


@cache
def _centres(count: int) -> Plane:
    """Coordinates of the centres of `count` pixels in a row."""
    return np.arange(count, dtype=np.float32) + np.float32(0.5)


@attrs.frozen(eq=False)
class Paint:
    """What a shape is filled with.

    Attributes:
        material: number of the first of the material's colours.
        tile: u8[p, q], a repeating pattern of offsets to `material`, one cell per canvas pixel.
        shift: where the pattern starts, (down, right) in pixels.
        falloff: how much the shape darkens towards its outline, as a round body does.
    """

    material: int
    tile: NDArray[np.uint8] = attrs.field(default=_PLAIN)
    shift: tuple[int, int] = (0, 0)
    falloff: float = 0.4


@attrs.frozen(eq=False)
class Canvas:
    """`materials` u8[height, width] (0 = nothing drawn) and `shades` f32[height, width] (1 = the colour itself).

    Attributes:
        light: how much the right side of a shape is brighter than its left side.
    """

    materials: NDArray[np.uint8]
    shades: Plane
    light: float = 0.0

    @classmethod
    def blank(cls, height: int, width: int, light: float = 0.0) -> Canvas:
        """An empty canvas."""
        return cls(np.zeros((height, width), np.uint8), np.ones((height, width), np.float32), light)

    def limb(self, start: Point, end: Point, radii: tuple[float, float], paint: Paint) -> None:
        """A tapered rod with round ends; the pattern runs along it."""
        (x0, y0), (x1, y1), (r0, r1) = start, end, radii
        box, x, y = self._box(
            min(x0 - r0, x1 - r1), min(y0 - r0, y1 - r1), max(x0 + r0, x1 + r1), max(y0 + r0, y1 + r1)
        )
        dx, dy = x1 - x0, y1 - y0
        length = max(math.sqrt(dx * dx + dy * dy), 1e-3)
        dx, dy = dx / length, dy / length
        x, y = x - x0, y - y0
        along = x * dx + y * dy
        across = x * dy - y * dx
        inside: Plane = np.minimum(np.maximum(along, 0.0), length)  # as np.clip, at half its price for small arrays
        radius = r0 + inside * ((r1 - r0) / length)
        beyond = along - inside
        squared = (across * across + beyond * beyond) / (radius * radius)
        self._fill(box, squared, across / radius, along, across, paint)

    def body(self, knots: Sequence[tuple[float, float, float]], paint: Paint) -> None:
        """An upright shape, given from top to bottom by knots (y, centre x, half-width); the pattern hangs straight."""
        ys, centres, halves = (np.array(column, dtype=np.float32) for column in zip(*knots, strict=True))
        reach = float(halves.max())
        box, x, y = self._box(float(centres.min()) - reach, knots[0][0], float(centres.max()) + reach, knots[-1][0])
        lower = np.clip(np.searchsorted(ys, y[:, 0], side="right"), 1, len(ys) - 1)
        upper = lower - 1
        part = np.clip((y[:, 0] - ys[upper]) / (ys[lower] - ys[upper]), 0.0, 1.0)
        centre = (centres[upper] + part * (centres[lower] - centres[upper]))[:, None]
        half = np.maximum(halves[upper] + part * (halves[lower] - halves[upper]), 0.5)[:, None]
        across = x - centre
        side = across / half
        self._fill(box, side * side, side, y - knots[0][0], across, paint)

    def oval(self, centre: Point, radii: tuple[float, float], paint: Paint, *, bottom: float = 1.0) -> None:
        """An ellipse, cut off at `bottom` (in vertical radii below the centre)."""
        (cx, cy), (rx, ry) = centre, radii
        box, x, y = self._box(cx - rx, cy - ry, cx + rx, cy + ry * bottom)
        side, up = (x - cx) * (1 / rx), (y - cy) * (1 / ry)
        squared = side * side + up * up
        self._fill(box, squared, side, y - cy, x - cx, paint)

    def stamp(self, centre: Point, glyph: NDArray[np.uint8], cell: float, squeeze: float, material: int) -> None:
        """Put a small bitmap on what is drawn, cells of `cell` pixels, width times `squeeze`; shades stay."""
        height, width = cell * glyph.shape[0], cell * glyph.shape[1] * squeeze
        left, top = centre[0] - width / 2, centre[1] - height / 2
        box, x, y = self._box(left, top, left + width, top + height)
        row = np.clip((y - top) / cell, 0, glyph.shape[0] - 1).astype(np.intp)
        column = np.clip((x - left) / (cell * squeeze), 0, glyph.shape[1] - 1).astype(np.intp)
        target = self.materials[box]
        np.copyto(target, np.uint8(material), where=(glyph[row, column] > 0) & (target > 0))

    def _box(self, left: float, top: float, right: float, bottom: float) -> tuple[tuple[slice, slice], Plane, Plane]:
        """The part of the canvas that a shape may touch, with the pixel centres' x f32[1, w] and y f32[h, 1]."""
        height, width = self.materials.shape
        rows = slice(min(max(int(top), 0), height), max(min(int(bottom) + 1, height), 0))
        columns = slice(min(max(int(left), 0), width), max(min(int(right) + 1, width), 0))
        return (rows, columns), _centres(width)[None, columns], _centres(height)[rows, None]

    def _fill(self, box: tuple[slice, slice], squared: Plane, side: Plane, u: Plane, v: Plane, paint: Paint) -> None:
        """Write where `squared` <= 1; `u`, `v` are the pattern's coordinates in pixels, `side` is in [-1, 1]."""
        inside = squared <= 1.0
        shade = (1.05 - paint.falloff * (side * side)) + self.light * side
        np.copyto(self.shades[box], shade, where=inside)
        material: NDArray[np.uint8] | np.uint8 = np.uint8(paint.material)
        if paint.tile.size > 1:
            row = (u + (paint.shift[0] + 512.0)).astype(np.int32) % paint.tile.shape[0]
            column = (v + (paint.shift[1] + 512.0)).astype(np.int32) % paint.tile.shape[1]
            material = paint.tile[row, column] + np.uint8(paint.material)
        np.copyto(self.materials[box], material, where=inside)
