"""One image of one person: pose, view, surroundings and camera put together."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from crbench_synthetic import raster
from crbench_synthetic.cameras import CAMERAS, Camera, Pixels, heading, record, scene, soft
from crbench_synthetic.canvas import Canvas, Plane
from crbench_synthetic.chance import Chance
from crbench_synthetic.figure import draw
from crbench_synthetic.people import Person, meet
from crbench_synthetic.pose import Pose, Sketch, View
from crbench_synthetic.size import HEIGHT, WIDTH

_TALL, _WIDE = 2 * HEIGHT, 2 * WIDTH
_SCENE_WIDTH = 1536


def take(stream: str, pid: int, camid: int, shot: int) -> Pixels:
    """The image u8[128, 64, 3] that camera `camid` (1 to 4) takes of person `pid`."""
    camera = CAMERAS[camid - 1]
    chance = Chance(f"{stream}|camera {camid}|shot {shot}", pid)
    light = _surroundings(stream, camid, chance).copy()
    if chance.hit(18):
        side = chance.pick((-1, 1))
        stranger = Chance(f"{stream}|passer-by", chance.below(1 << 31))
        view = _view(camera, stranger, centre=64 + side * (48 + chance.below(16)), size=chance.between(170, 220))
        _add(light, meet(stream, -1 - stranger.below(1 << 31)), view, stranger)
    view = _view(camera, chance, centre=64 + chance.between(-7, 7), size=chance.between(212, 244))
    _add(light, _acquaintance(stream, pid), view, chance)
    if chance.hit(18):
        _occlude(light, chance)
    return record(light, camera, chance)


def _view(camera: Camera, chance: Chance, *, centre: float, size: float) -> View:
    facing, sideways = heading(camera, chance)
    return View(
        centre=centre,
        top=(_TALL - size) / 2 + chance.between(-9, 9),
        size=size,
        facing=facing,
        sideways=sideways,
        pitch=camera.pitch,
        taper=camera.taper * chance.between(0.8, 1.2),
        lean=chance.between(-0.02, 0.02),
    )


@lru_cache(maxsize=1024)
def _acquaintance(stream: str, pid: int) -> Person:
    return meet(stream, pid)


@lru_cache(maxsize=8)
def _place(stream: str, camid: int) -> Plane:
    return scene(CAMERAS[camid - 1], Chance(f"{stream}|scene", camid), _TALL + 32, _SCENE_WIDTH)


def _surroundings(stream: str, camid: int, chance: Chance) -> Plane:
    """The part of the camera's scene that this image shows, f32[256, 128, 3]."""
    left, top = chance.below(_SCENE_WIDTH - _WIDE), chance.below(32)
    return _place(stream, camid)[top : top + _TALL, left : left + _WIDE]


def _add(light: Plane, person: Person, view: View, chance: Chance) -> None:
    """Put a person, with a shadow at the feet, into the scene."""
    canvas = Canvas.blank(_TALL, _WIDE, light=chance.between(-0.18, 0.18))
    draw(Sketch(canvas, person, Pose.drawn(chance), view))
    raster.shade(light, *view.at(0.0, 0.985))
    folds = soft(chance, _TALL, _WIDE, 16)  # of cloth, new in every image
    raster.colour(light, canvas.materials, canvas.shades, folds, person.palette())


def _occlude(light: Plane, chance: Chance) -> None:
    """A post, a hedge or box in front of the legs, or an edge that cuts off one side."""
    kind = chance.pick(("post", "box", "edge"))
    colour = np.array([50 + chance.below(140)] * 3, dtype=np.float32) + np.array([8, 0, -8], dtype=np.float32)
    if kind == "post":
        left, wide = 20 + chance.below(80), 6 + chance.below(8)
        light[:, left : left + wide] = colour
        light[:, left : left + 2] *= 1.2
    elif kind == "box":
        top = 190 - chance.below(40)
        light[top:] = colour * 0.9
        light[top : top + 4] *= 1.25
    else:
        wide = 16 + chance.below(24)
        part = light[:, :wide] if chance.hit(50) else light[:, -wide:]
        part[:] = colour * 0.8
