"""Neck, face, hair and hat."""

from __future__ import annotations

from crbench_synthetic.canvas import Paint
from crbench_synthetic.people import Material
from crbench_synthetic.pose import Sketch


def neck(sketch: Sketch) -> None:
    """The neck, and the scarf around it."""
    view, canvas = sketch.view, sketch.canvas
    radii = (view.px(0.031, 0.1), view.px(0.036, 0.1))
    canvas.limb(view.at(0, 0.11), view.at(0, 0.17), radii, Paint(Material.SKIN, falloff=0.6))
    if sketch.person.scarf:
        canvas.oval(view.at(0, 0.163), (view.px(0.062), view.px(0.026)), Paint(Material.BAND))


def long_hair(sketch: Sketch) -> None:
    """Hair that falls on the back: drawn before the body where that hides it."""
    view, style = sketch.view, sketch.person.hair_style
    if style not in ("bob", "long"):
        return
    x, y, rx, ry = _skull(sketch)
    end_x, end_y = view.at(0.0, 0.165 if style == "bob" else 0.25, -0.03)
    wide = rx * 1.22
    knots = [(y - ry * 0.3, x, wide), (end_y - 5, end_x, wide * 1.02), (end_y, end_x, wide * 0.8)]
    sketch.canvas.body(knots, Paint(Material.HAIR))


def head(sketch: Sketch) -> None:
    """Hair, then the face that it leaves free, then the hat."""
    view, person = sketch.view, sketch.person
    x, y, rx, ry = _skull(sketch)
    if person.hair_style == "bald":
        sketch.canvas.oval((x, y), (rx, ry), Paint(Material.SKIN))
    else:
        grow = {"curly": 1.3, "short": 1.07, "crop": 1.02}.get(person.hair_style, 1.1)
        low = 0.55 if grow < 1.08 else 0.9
        sketch.canvas.oval((x, y - ry * 0.04), (rx * grow, ry * grow), Paint(Material.HAIR), bottom=low)
    if person.hair_style in ("tail", "bun"):
        _tied_hair(sketch)
    if view.facing > 0:
        _face(sketch)
    if person.hat != "none":
        _hat(sketch)


def _skull(sketch: Sketch) -> tuple[float, float, float, float]:
    """Centre x, y and radii of the head in pixels."""
    view, size = sketch.view, sketch.person.head
    return *view.at(0.0, 0.074, 0.015), view.half(0.047, 0.056, 0.07) * size, view.px(0.073, 0.07) * size


def _tied_hair(sketch: Sketch) -> None:
    view = sketch.view
    radii = (view.px(0.026, 0.1), view.px(0.015, 0.1))
    if sketch.person.hair_style == "bun":
        place = view.at(0.0, 0.03, -0.07)
        sketch.canvas.limb(place, place, radii, Paint(Material.HAIR))
    elif view.facing < 0.5:
        sketch.canvas.limb(view.at(0.0, 0.075, -0.07), view.at(0.0, 0.19, -0.09), radii, Paint(Material.HAIR))


def _face(sketch: Sketch) -> None:
    view, canvas, turn = sketch.view, sketch.canvas, sketch.view.sideways
    x, y, rx, ry = _skull(sketch)
    middle, wide = x + rx * 0.4 * turn, rx * (0.58 + 0.32 * view.facing)
    canvas.oval((middle, y + ry * 0.16), (wide, ry * 0.84), Paint(Material.SKIN, falloff=0.3))
    feature, lip = Paint(Material.FEATURE, falloff=0.0), Paint(Material.LIP, falloff=0.0)
    big = 1.5 if sketch.person.glasses else 1.0
    for side in (-1, 1):
        eye = x + rx * (0.36 * side * view.facing + 0.62 * turn)
        if abs(eye - middle) < wide:
            canvas.oval((eye, y + ry * 0.04), (1.5 * big, big), feature)
    canvas.oval((middle + rx * (0.2 * turn + 0.03), y + ry * 0.3), (rx * 0.1 + 0.4, ry * 0.12), lip)
    canvas.oval((middle + rx * 0.2 * turn, y + ry * 0.6), (rx * 0.24, 0.9), lip)


def _hat(sketch: Sketch) -> None:
    view, canvas, kind = sketch.view, sketch.canvas, sketch.person.hat
    x, y, rx, ry = _skull(sketch)
    rx, ry = rx * 1.1, ry * 1.1
    cloth, band, edge = Paint(Material.HAT), Paint(Material.BAND, falloff=0.2), y - ry * 0.32
    canvas.oval((x, y), (rx, ry), cloth, bottom=-0.25)
    if kind == "beanie":
        canvas.body([(edge - 5, x, rx), (edge, x, rx)], band)
    elif kind == "brim":
        canvas.oval((x, edge), (rx * 1.5, view.px(0.012)), cloth)
    elif view.facing > -0.5:
        tip = (x + rx * view.sideways, edge + view.px(0.01) * view.facing)
        canvas.oval(tip, (rx * (0.6 + 0.3 * view.facing), view.px(0.011)), band)
