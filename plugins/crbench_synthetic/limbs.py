"""Legs and arms; `side` is 1 for the person's left, -1 for the right."""

from __future__ import annotations

import math

from crbench_synthetic.bags import hand_bag
from crbench_synthetic.canvas import Paint, Point
from crbench_synthetic.people import Material
from crbench_synthetic.pose import Sketch, between


def leg(sketch: Sketch, side: int) -> None:
    """One leg with shoe, sock and trouser leg; a foot that is behind is lifted."""
    view, person = sketch.view, sketch.person
    step = sketch.pose.stride * side
    lift = max(-step, 0.0) * 0.35
    hip = view.at(0.046 * person.hips * side, 0.515)
    knee = view.at(0.05 * side, person.knee, step * 0.5 + 0.02)
    ankle = view.at(0.05 * side, 0.945 - lift, step)
    _shoe(sketch, side, step, lift)
    if person.cut != "trousers":
        _bare_leg(sketch, hip, knee, ankle)
    if person.cut not in ("skirt", "dress"):
        _trouser_leg(sketch, side, (hip, knee, ankle))


def arm(sketch: Sketch, side: int) -> None:
    """One arm, with the hand bag if that hand carries it."""
    view, person, pose = sketch.view, sketch.person, sketch.pose
    carries = person.bag_kind == "hand" and side == (1 if person.bag_left else -1)
    bend = 0.01 if carries else pose.bend
    lateral = 0.114 * person.shoulders
    reach = pose.arms * side
    shoulder = view.at(lateral * 0.9 * side, 0.214)
    elbow = view.at((lateral + 0.014 + pose.spread * 0.6) * side, 0.355, reach * 0.45 - 0.01)
    hand = view.at((lateral + 0.016 + pose.spread - bend * 0.35) * side, 0.49 - bend, reach + bend)
    bulk = math.sqrt(person.build)
    upper, middle, wrist = (view.px(radius * bulk, 0.35) for radius in (0.032, 0.028, 0.021))
    if carries:
        hand_bag(sketch, hand)
    canvas, skin, cloth = sketch.canvas, Paint(Material.SKIN, falloff=0.5), sketch.cloth(Material.TOP, 0.5)
    canvas.oval(hand, (wrist * 1.05, wrist * 1.3), skin)
    if person.sleeve == "long":
        canvas.limb(elbow, hand, (middle * 1.05, wrist), cloth)
        canvas.limb(shoulder, elbow, (upper, middle * 1.05), cloth)
        return
    canvas.limb(elbow, hand, (middle * 0.85, wrist * 0.9), skin)
    canvas.limb(shoulder, elbow, (upper * 0.9, middle * 0.88), skin)
    if person.sleeve == "short":
        canvas.limb(shoulder, between(shoulder, elbow, 0.7), (upper * 1.02, middle * 1.12), cloth)


def _bare_leg(sketch: Sketch, hip: Point, knee: Point, ankle: Point) -> None:
    view, skin = sketch.view, Paint(Material.SKIN)
    thigh, calf = _bulk(sketch)
    sketch.canvas.limb(knee, ankle, (calf * 0.95, view.px(0.024, 0.9)), skin)
    sock = between(knee, ankle, 0.75)
    sketch.canvas.limb(sock, ankle, (view.px(0.031, 0.9), view.px(0.026, 0.9)), Paint(Material.SOCK))
    sketch.canvas.limb(hip, knee, (thigh, calf), skin)


def _trouser_leg(sketch: Sketch, side: int, joints: tuple[Point, Point, Point]) -> None:
    hip, knee, ankle = joints
    canvas, person, cloth = sketch.canvas, sketch.person, sketch.cloth(Material.BOTTOM)
    thigh, calf = _bulk(sketch)
    if person.cut == "shorts":
        canvas.limb(hip, between(hip, knee, 0.85), (thigh * 1.05, calf * 1.3), cloth)
        return
    end = between(knee, ankle, 0.55) if person.cut == "capri" else ankle
    canvas.limb(hip, knee, (thigh, calf * 1.1), cloth)
    canvas.limb(knee, end, (calf * 1.1, sketch.view.px(0.03 * person.flare, 0.9)), cloth)
    if person.side_stripe:
        shift = sketch.view.px(0.036) * side * sketch.view.facing
        hip, knee, end = (hip[0] + shift * 1.2, hip[1]), (knee[0] + shift, knee[1]), (end[0] + shift * 0.7, end[1])
        stripe, thin = Paint(Material.BOTTOM + 1, falloff=0.1), sketch.view.px(0.009)
        canvas.limb(hip, knee, (thin, thin), stripe)
        canvas.limb(knee, end, (thin, thin), stripe)


def _bulk(sketch: Sketch) -> tuple[float, float]:
    """Radii of thigh and calf in pixels."""
    build = sketch.person.build
    return sketch.view.px(0.058 * build, 0.6), sketch.view.px(0.041 * build, 0.75)


def _shoe(sketch: Sketch, side: int, step: float, lift: float) -> None:
    view, canvas = sketch.view, sketch.canvas
    heel = view.at(0.052 * side, 0.972 - lift, step - 0.015)
    toe = view.at(0.06 * side, 0.978 - lift * 0.6, step + 0.075)
    radii = (view.px(0.024, 1.0), view.px(0.021, 1.0))
    below = view.px(0.008, 1.0)
    sole, shoe = Paint(Material.SOLE, falloff=0.1), Paint(Material.SHOE)
    canvas.limb((heel[0], heel[1] + below), (toe[0], toe[1] + below), radii, sole)
    canvas.limb(heel, toe, radii, shoe)
    if sketch.person.boots:
        canvas.limb(view.at(0.052 * side, 0.89 - lift, step), heel, (view.px(0.033, 1.0), view.px(0.027, 1.0)), shoe)
