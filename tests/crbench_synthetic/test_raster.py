"""The compiled loops give the bits of their definitions by NumPy."""

from __future__ import annotations

import drawn_by_numpy as by_numpy
import numpy as np
import pytest
from crbench_synthetic import raster
from crbench_synthetic.cameras import CAMERAS, record, soft
from crbench_synthetic.canvas import Canvas, Paint
from crbench_synthetic.chance import Chance
from hypothesis import given
from hypothesis import strategies as st

HEIGHT, WIDTH = 40, 24


def number(low, high):
    return st.floats(low, high, allow_nan=False, width=64)


points = st.tuples(number(-20, 44), number(-20, 60))
radii = st.tuples(number(0.3, 15), number(0.3, 15))
paints = st.builds(
    Paint,
    st.integers(1, 20),
    st.sampled_from([np.zeros((1, 1), np.uint8), np.arange(12, dtype=np.uint8).reshape(3, 4) % 3]),
    st.tuples(st.integers(0, 17), st.integers(0, 17)),
    number(0, 0.6),
)
lights = number(-0.18, 0.18)
streams = st.integers(0, 2**32)


def both(light, draw, definition):
    """The same shape on two canvases on which something is drawn already."""
    ours, theirs = (Canvas.blank(HEIGHT, WIDTH, light) for _ in range(2))
    for canvas in (ours, theirs):
        canvas.materials[10:30, 5:20] = 7
    draw(ours)
    definition(theirs)
    assert (ours.materials == theirs.materials).all()
    assert (ours.shades.view(np.uint32) == theirs.shades.view(np.uint32)).all()


@given(start=points, end=points, radii=radii, paint=paints, light=lights)
def test_limbs(start, end, radii, paint, light):
    both(light, lambda c: c.limb(start, end, radii, paint), lambda c: by_numpy.limb(c, start, end, radii, paint))


@given(
    top=number(-20, 50),
    steps=st.lists(st.tuples(number(0.5, 20), number(-10, 34), number(0, 15)), min_size=2, max_size=8),
    paint=paints,
    light=lights,
)
def test_bodies(top, steps, paint, light):
    downwards = np.cumsum([top, *(step for step, _, _ in steps[1:])]).tolist()
    knots = [(y, x, half) for y, (_, x, half) in zip(downwards, steps, strict=True)]
    both(light, lambda c: c.body(knots, paint), lambda c: by_numpy.body(c, knots, paint))


@given(centre=points, radii=radii, bottom=number(-0.5, 1), paint=paints, light=lights)
def test_ovals(centre, radii, bottom, paint, light):
    both(
        light,
        lambda c: c.oval(centre, radii, paint, bottom=bottom),
        lambda c: by_numpy.oval(c, centre, radii, paint, bottom=bottom),
    )


@given(centre=points, cell=number(0.8, 6), squeeze=number(0.2, 1), stream=streams)
def test_stamps(centre, cell, squeeze, stream):
    glyph = (Chance("glyph", stream).octets(49).reshape(7, 7) > 118).astype(np.uint8)
    both(
        0.0,
        lambda c: c.stamp(centre, glyph, cell, squeeze, 9),
        lambda c: by_numpy.stamp(c, centre, glyph, cell, squeeze, 9),
    )


@given(stream=streams, cell=st.sampled_from([4, 12, 16, 48]), height=st.integers(1, 60), width=st.integers(1, 60))
def test_soft_noise(stream, cell, height, width):
    found = soft(Chance("soft", stream), height, width, cell)
    assert (found == by_numpy.soft(Chance("soft", stream), height, width, cell)).all()


def light_of(stream, height, width):
    return Chance("light", stream).octets(height * width * 3).reshape(height, width, 3).astype(np.float32)


@given(place=points, stream=streams)
def test_shadows_and_colours(place, stream):
    chance = Chance("colours", stream)
    ours, theirs = (light_of(stream, HEIGHT, WIDTH) for _ in range(2))
    materials = chance.octets(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 22
    shades, folds = (chance.octets(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) * np.float32(1 / 255) for _ in range(2))
    palette = chance.octets(66).reshape(22, 3).astype(np.float32)
    for light, room in ((ours, raster), (theirs, by_numpy)):
        room.shade(light, *place)
        room.colour(light, materials, shades, folds, palette)
    assert (ours == theirs).all()


@pytest.mark.parametrize("camera", CAMERAS)
@given(stream=streams)
def test_what_a_camera_records(camera, stream):
    light = light_of(stream, HEIGHT, WIDTH)
    found = record(light.copy(), camera, Chance("record", stream))
    assert (found == by_numpy.record(light, camera, Chance("record", stream))).all()
