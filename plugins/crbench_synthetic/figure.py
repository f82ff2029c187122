"""Drawing a person: all parts, from far to near."""

from __future__ import annotations

from crbench_synthetic import bags, head, limbs, trunk
from crbench_synthetic.pose import Sketch


def draw(sketch: Sketch) -> None:
    """Draw the whole person; what is nearer to the camera is drawn later."""
    front = sketch.view.facing > 0
    near = 1 if sketch.view.sideways < 0 else -1  # the side of the body, 1 = left
    in_profile = abs(sketch.view.sideways) > 0.9
    if front:
        bags.backpack(sketch)
        head.long_hair(sketch)
    if in_profile:
        limbs.arm(sketch, -near)
    for side in (-near, near):
        limbs.leg(sketch, side)
    trunk.skirt(sketch)
    head.neck(sketch)
    trunk.torso(sketch)
    if front:
        trunk.chest(sketch)
    else:
        trunk.back(sketch)
        bags.backpack(sketch)
    bags.straps(sketch)
    if not in_profile:
        limbs.arm(sketch, -near)
    limbs.arm(sketch, near)
    if not front:
        head.long_hair(sketch)
    head.head(sketch)
