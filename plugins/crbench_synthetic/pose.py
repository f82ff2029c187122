"""How a person stands before the camera: joints in three dimensions, projected onto the canvas.

Lengths are in body heights; a body point is given by `lateral` (to the person's left), `down` (from the crown) and
`forward`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs

from crbench_synthetic.canvas import Canvas, Paint, Point
from crbench_synthetic.chance import Chance
from crbench_synthetic.people import Material, Person

HEADINGS = {
    "front": (1.0, 0.0),
    "front-left": (0.75, -0.66),
    "left": (0.1, -0.99),
    "back-left": (-0.75, -0.66),
    "back": (-1.0, 0.0),
    "back-right": (-0.75, 0.66),
    "right": (0.1, 0.99),
    "front-right": (0.75, 0.66),
}
"""(facing the camera, to the image's right) by heading: cosine and sine, rounded, written out so that all agree."""


@attrs.frozen
class View:
    """How the camera sees the person.

    Attributes:
        centre, top, size: where the crown is and how high the person is, in canvas pixels.
        facing, sideways: heading, as in `HEADINGS`.
        pitch: how much nearer things appear lower; `taper`: how much the upper body is enlarged (a high camera).
        lean: sideways shift of the crown against the soles, in body heights.
    """

    centre: float
    top: float
    size: float
    facing: float
    sideways: float
    pitch: float
    taper: float
    lean: float

    def at(self, lateral: float, down: float, forward: float = 0.0) -> Point:
        """Canvas point of a body point."""
        near = forward * self.facing - lateral * self.sideways
        x = (lateral * self.facing + forward * self.sideways) * self.scale(down) + self.lean * (1.0 - down)
        y = down * (1.0 + self.taper * (1.0 - down)) + self.pitch * near
        return self.centre + self.size * x, self.top + self.size * y

    def scale(self, down: float) -> float:
        """Enlargement at a height."""
        return 1.0 + self.taper * (0.7 - down)

    def px(self, length: float, down: float = 0.5) -> float:
        """A length in pixels."""
        return self.size * length * self.scale(down)

    def half(self, width: float, depth: float, down: float) -> float:
        """Half-width in pixels of an elliptic cross-section."""
        a, b = width * self.facing, depth * self.sideways
        return self.px(math.sqrt(a * a + b * b), down)


@attrs.frozen
class Pose:
    """A moment of walking; lengths in body heights.

    Attributes:
        stride: how far the left foot is in front of the hips (negative: behind), the right one opposite.
        arms: the same for the hands; `bend`: how much the elbows are bent; `spread`: hands away from the body.
    """

    stride: float
    arms: float
    bend: float
    spread: float

    @classmethod
    def drawn(cls, chance: Chance) -> Pose:
        """A pose by chance: one in five stands."""
        swing = chance.between(-1.0, 1.0)
        stride = (0.02 if chance.hit(20) else 0.12) * swing
        return cls(stride, -0.8 * stride, chance.between(0.0, 0.07), chance.between(0.0, 0.03))


def between(start: Point, end: Point, part: float) -> Point:
    """The point at `part` of the way."""
    return start[0] + (end[0] - start[0]) * part, start[1] + (end[1] - start[1]) * part


@attrs.frozen(eq=False)
class Sketch:
    """A person in a pose, seen by a camera, about to be drawn on a canvas."""

    canvas: Canvas
    person: Person
    pose: Pose
    view: View

    def cloth(self, material: Material, falloff: float = 0.4) -> Paint:
        """The paint of the top, the bottom or the bag."""
        garments = {Material.TOP: self.person.top, Material.BOTTOM: self.person.bottom, Material.BAG: self.person.bag}
        garment = garments[material]
        return Paint(material, garment.tile, garment.shift, falloff)

    def trunk(self, rows: Sequence[tuple[float, float, float]], paint: Paint, *, forward: float = 0.0) -> None:
        """Draw an upright shape with elliptic cross-sections, given as (down, half-width, half-depth) rows."""
        knots = []
        for down, width, depth in rows:
            x, y = self.view.at(0.0, down, forward)
            knots.append((y, x, self.view.half(width, depth, down)))
        self.canvas.body(knots, paint)
