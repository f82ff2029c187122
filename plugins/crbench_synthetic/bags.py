"""Bags: in the hand, at the hip, on the back."""

from __future__ import annotations

from crbench_synthetic.canvas import Paint, Point
from crbench_synthetic.people import Material
from crbench_synthetic.pose import Sketch


def hand_bag(sketch: Sketch, hand: Point) -> None:
    """A bag with two handles below the hand."""
    view, (x, y) = sketch.view, hand
    half = view.px(0.045 + 0.035 * abs(view.sideways))
    handle = Paint(Material.STRAP, falloff=0.2)
    for side in (-0.6, 0.6):
        sketch.canvas.limb((x, y), (x + half * side, y + view.px(0.06)), (1.3, 1.3), handle)
    top = y + view.px(0.055)
    sketch.canvas.body([(top, x, half * 0.85), (top + view.px(0.11), x, half)], sketch.cloth(Material.BAG, 0.15))


def backpack(sketch: Sketch) -> None:
    """A pack on the back, and its pocket where the back is seen."""
    view = sketch.view
    if sketch.person.bag_kind != "backpack":
        return
    rows = [(0.19, 0.07, 0.03), (0.215, 0.092, 0.05), (0.4, 0.096, 0.06), (0.425, 0.08, 0.045)]
    sketch.trunk(rows, sketch.cloth(Material.BAG, 0.25), forward=-0.1)
    if view.facing < 0:
        pocket = (view.half(0.06, 0.03, 0.36), view.px(0.03))
        sketch.canvas.oval(view.at(0.0, 0.36, -0.13), pocket, Paint(Material.BAG + 1, falloff=0.2))


def straps(sketch: Sketch) -> None:
    """The two straps of a backpack, or the long strap of a shoulder bag with the bag at the hip."""
    view, person, canvas = sketch.view, sketch.person, sketch.canvas
    strap = Paint(Material.STRAP, falloff=0.2)
    if person.bag_kind == "backpack" and view.facing > 0.3:
        for side in (-1, 1):
            ends = view.at(0.072 * side, 0.185, 0.03), view.at(0.085 * side, 0.34, 0.075)
            canvas.limb(*ends, (view.px(0.013), view.px(0.011)), strap)
    if person.bag_kind == "shoulder":
        side = 1 if person.bag_left else -1
        depth = 0.075 if view.facing > 0 else -0.075
        ends = view.at(-0.07 * side, 0.18, depth * 0.4), view.at(0.105 * side, 0.47, depth * 0.6)
        canvas.limb(*ends, (view.px(0.01), view.px(0.01)), strap)
        if view.sideways * side < 0.5:  # else the body hides it
            (x, y), half = view.at(0.125 * side, 0.47), view.half(0.035, 0.075, 0.5)
            canvas.body([(y, x, half * 0.9), (y + view.px(0.1), x, half)], sketch.cloth(Material.BAG, 0.2))
