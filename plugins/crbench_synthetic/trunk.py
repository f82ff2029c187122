"""The trunk and what covers it."""

from __future__ import annotations

import math

from crbench_synthetic.canvas import Paint
from crbench_synthetic.people import Material
from crbench_synthetic.pose import Sketch


def torso(sketch: Sketch) -> None:
    """The top, from the collar to its hem."""
    person = sketch.person
    build, shoulders, hips = person.build, person.shoulders, person.hips * math.sqrt(person.build)
    low = min(person.hem, 0.54) if person.cut == "skirt" else person.hem
    rows = [
        (0.158, 0.04, 0.045),
        (0.172, 0.066 * shoulders, 0.055),
        (0.185, 0.096 * shoulders, 0.064),
        (0.212, 0.116 * shoulders, 0.073),
        (0.28, 0.108 * shoulders * math.sqrt(build), 0.084 * build),
        (0.39, 0.092 * build, 0.08 * build),
        (0.48, 0.102 * hips, 0.093 * build),
        (low, (0.102 + 0.04 * (low - 0.5)) * hips, 0.094 * build),
    ]
    sketch.trunk(rows, sketch.cloth(Material.TOP))
    if person.panel < low:
        below = [row for row in rows if row[0] > person.panel]
        sketch.trunk([(person.panel, rows[4][1] * 0.96, rows[4][2]), *below], Paint(Material.TOP + 1))


def skirt(sketch: Sketch) -> None:
    """A skirt, or the lower part of a dress; it widens with the stride."""
    person = sketch.person
    if person.cut not in ("skirt", "dress"):
        return
    reach = 0.09 + abs(sketch.pose.stride) * 0.4
    rows = [(0.44, 0.085, 0.075), (0.5, 0.105 * person.hips, 0.09), (0.6, 0.118, 0.1), (0.7, 0.125, reach)]
    sketch.trunk(rows, sketch.cloth(Material.BOTTOM if person.cut == "skirt" else Material.TOP))


def chest(sketch: Sketch) -> None:
    """Neckline, opening and emblem of the front."""
    view, person, canvas = sketch.view, sketch.person, sketch.canvas
    squeeze = max(view.facing, 0.25)
    if person.front == "open":
        _strip(sketch, 0.03 * squeeze, Paint(Material.INNER, falloff=0.2))
    elif person.front == "zip":
        _strip(sketch, 0.006 * squeeze, Paint(Material.SOLE, falloff=0.0))
    elif person.front == "collar":
        collar = (view.px(0.034) * squeeze, view.px(0.04))
        canvas.oval(view.at(0.0, 0.168, 0.06), collar, Paint(Material.INNER, falloff=0.1))
    else:
        canvas.oval(view.at(0.0, 0.16, 0.06), (view.px(0.036) * squeeze, view.px(0.024)), Paint(Material.SKIN))
    if person.emblem_place == "chest":
        canvas.stamp(view.at(0.0, 0.285, 0.075), person.emblem, person.emblem_cell, squeeze, Material.EMBLEM)
    elif person.emblem_place == "heart":
        canvas.stamp(view.at(0.05, 0.255, 0.075), person.emblem, person.emblem_cell * 0.6, squeeze, Material.EMBLEM)


def back(sketch: Sketch) -> None:
    """The emblem of the back."""
    view, person = sketch.view, sketch.person
    if person.emblem_place == "back":
        cell = person.emblem_cell * 1.25
        sketch.canvas.stamp(view.at(0.0, 0.29, -0.08), person.emblem, cell, -view.facing, Material.EMBLEM)


def _strip(sketch: Sketch, half: float, paint: Paint) -> None:
    """A strip down the middle of the front."""
    ends = [sketch.view.at(0.0, down, 0.075) for down in (0.17, sketch.person.hem - 0.01)]
    sketch.canvas.body([(y, x, sketch.view.px(half)) for x, y in ends], paint)
