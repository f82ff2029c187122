"""A drawing surface of two planes, and the few shapes that a figure is made of.

A shape writes the number of a material and a shade per pixel; colours are looked up once at the end. Shapes use only
``+ - * /``, square roots and comparisons, which IEEE 754 defines to the last bit: a pixel is the same on every machine.
(``sin``, ``exp``, ``pow``, sums and matrix products are not, and do not occur.)
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench_synthetic import raster

Point = tuple[float, float]
Plane = NDArray[np.float32]

_PLAIN = np.zeros((1, 1), dtype=np.uint8)


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

    @property
    def parts(self) -> tuple[NDArray[np.uint8], int, int, int, float]:
        """As the loops of `crbench_synthetic.raster` take them."""
        return self.tile, int(self.material), *self.shift, self.falloff


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
        raster.limb(*self._planes, *paint.parts, *start, *end, *radii)

    def body(self, knots: Sequence[tuple[float, float, float]], paint: Paint) -> None:
        """An upright shape, given from top to bottom by knots (y, centre x, half-width); the pattern hangs straight."""
        raster.body(*self._planes, *paint.parts, np.array(knots, dtype=np.float32), knots[0][0], knots[-1][0])

    def oval(self, centre: Point, radii: tuple[float, float], paint: Paint, *, bottom: float = 1.0) -> None:
        """An ellipse, cut off at `bottom` (in vertical radii below the centre)."""
        raster.oval(*self._planes, *paint.parts, *centre, *radii, bottom)

    def stamp(self, centre: Point, glyph: NDArray[np.uint8], cell: float, squeeze: float, material: int) -> None:
        """Put a small bitmap on what is drawn, cells of `cell` pixels, width times `squeeze`; shades stay."""
        raster.stamp(self.materials, glyph, int(material), *centre, cell, squeeze)

    @property
    def _planes(self) -> tuple[NDArray[np.uint8], Plane, float]:
        return self.materials, self.shades, self.light
