"""The four cameras: where they look from, what stands behind the people, and how they record it."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench_synthetic import raster
from crbench_synthetic.canvas import Plane
from crbench_synthetic.chance import Chance
from crbench_synthetic.pose import HEADINGS

Pixels = NDArray[np.uint8]
Triple = tuple[float, float, float]

_NOISE_OF_FOUR = 147.8
"""Standard deviation of the sum of four uniform bytes."""


@attrs.frozen
class Camera:
    """What a camera does to light; constants of the data set.

    Attributes:
        headings: weight of each of `HEADINGS`: which way people walk here.
        taper, pitch: perspective of its height, see `crbench_synthetic.pose.View`.
        white: gain of red, green and blue.
        tone: mid-tones are lifted (below 1) or lowered (above 1).
        contrast, black, saturation: slope of the response, its lowest value, and how much colour is kept.
        blur: part of the light that falls on the neighbouring pixels, per direction.
        noise: standard deviation of the sensor noise, in grey levels.
        wall, ground: colours of the place; `horizon`: where they meet, as a part of image height.
    """

    headings: tuple[int, ...]
    taper: float
    pitch: float
    white: Triple
    tone: float
    contrast: float
    black: float
    saturation: float
    blur: float
    noise: float
    wall: tuple[int, int, int]
    ground: tuple[int, int, int]
    horizon: float


CAMERAS: tuple[Camera, ...] = (
    Camera(  # sunlit square
        headings=(6, 3, 1, 1, 1, 1, 1, 3), taper=0.05, pitch=0.10, white=(1.06, 1.0, 0.9), tone=0.85, contrast=1.08,
        black=0.01, saturation=1.12, blur=0.04, noise=4.0, wall=(176, 172, 160), ground=(172, 164, 148), horizon=0.42,
    ),
    Camera(  # shaded street
        headings=(1, 1, 1, 3, 6, 3, 1, 1), taper=0.10, pitch=0.14, white=(0.88, 0.98, 1.12), tone=1.35, contrast=0.94,
        black=0.03, saturation=0.85, blur=0.07, noise=5.5, wall=(120, 128, 136), ground=(118, 120, 124), horizon=0.35,
    ),
    Camera(  # corridor with lamps
        headings=(2, 3, 4, 2, 2, 2, 4, 3), taper=0.02, pitch=0.07, white=(1.02, 1.07, 0.86), tone=1.1, contrast=0.85,
        black=0.07, saturation=0.8, blur=0.06, noise=6.5, wall=(196, 192, 164), ground=(138, 128, 108), horizon=0.55,
    ),
    Camera(  # lawn, high mast
        headings=(3, 2, 2, 2, 3, 2, 2, 2), taper=0.14, pitch=0.18, white=(0.95, 1.06, 1.0), tone=0.95, contrast=1.0,
        black=0.02, saturation=1.0, blur=0.05, noise=5.0, wall=(96, 124, 84), ground=(116, 138, 92), horizon=0.18,
    ),
)  # fmt: skip


def heading(camera: Camera, chance: Chance) -> tuple[float, float]:
    """(facing, sideways) of one image."""
    return HEADINGS[chance.pick(tuple(HEADINGS), camera.headings)]


def scene(camera: Camera, chance: Chance, height: int, width: int) -> Plane:
    """A wide view of the place without people, f32[height, width, 3] in [0, 255]."""
    view = np.empty((height, width, 3), dtype=np.float32)
    edge = int(height * camera.horizon)
    view[:edge] = camera.wall
    view[edge:] = camera.ground
    fade = np.arange(height, dtype=np.float32)[:, None, None] * (0.35 / height) + 0.8
    view *= fade
    for _ in range(width // 24):
        _clutter(view, chance, edge)
    for _ in range(12):
        _line(view, chance, edge)
    view *= _mottle(chance, height, width)[:, :, None]
    return np.clip(view, 0, 255)


def _clutter(view: Plane, chance: Chance, edge: int) -> None:
    """A door, window, post, box or bush: a rectangle that stands on or above the edge of the ground."""
    height, width = view.shape[:2]
    kind = chance.pick(("panel", "post", "box", "bush"), (4, 3, 3, 2))
    wide, high = {
        "panel": (chance.below(60) + 20, chance.below(70) + 30),
        "post": (chance.below(6) + 3, chance.below(150) + 60),
        "box": (chance.below(70) + 30, chance.below(50) + 20),
        "bush": (chance.below(60) + 20, chance.below(40) + 20),
    }[kind]
    foot = edge + chance.below(60) - (60 if kind == "panel" else 10)
    left, top = chance.below(width), max(foot - high, 0)
    foot = min(max(foot, top + 2), height)
    colour = np.array([30 + chance.below(190) for _ in range(3)], dtype=np.float32)
    colour = colour * 0.22 + (30 + chance.below(130))
    part = view[top:foot, left : left + wide]
    if kind == "bush":
        part[:] = np.where(
            chance.octets(part.shape[0] * part.shape[1]).reshape(*part.shape[:2], 1) > 90, (70, 96, 60), part
        )
    else:
        part[:] = colour
        part[:, : max(1, wide // 12)] *= 0.75
        if kind == "panel" and high > 40:
            part[6:-6, wide // 2 : wide // 2 + 2] *= 0.6


def _line(view: Plane, chance: Chance, edge: int) -> None:
    """A slanted joint of the paving."""
    height, width = view.shape[:2]
    rows = np.arange(edge, height)
    start, slope = chance.below(width), chance.below(9) - 4
    columns = (start + (rows - edge) * slope // 2) % width
    view[rows, columns] *= 0.8
    row = edge + (height - edge) * chance.below(100) // 100
    view[row : row + 2] *= 0.88


def _mottle(chance: Chance, height: int, width: int) -> Plane:
    """Uneven light and dirt: soft random values at three scales, around 1."""
    total = np.ones((height, width), dtype=np.float32)
    for cell, weight in ((48, 0.2), (12, 0.12), (4, 0.08)):
        total += (soft(chance, height, width, cell) - 0.5) * (2 * weight)
    return total


def soft(chance: Chance, height: int, width: int, cell: int) -> Plane:
    """Soft random values f32[height, width] in [0, 1], one independent value every `cell` pixels."""
    rows, columns = height // cell + 2, width // cell + 2
    values = np.empty((height, width), dtype=np.float32)
    raster.soften(chance.octets(rows * columns).reshape(rows, columns), cell, values)
    return values


def record(light: Plane, camera: Camera, chance: Chance) -> Pixels:
    """What the camera stores of the light that reaches it, at half the size.

    Args:
        light: f32[2 * height, 2 * width, 3] in [0, 255].

    Returns:
        u8[height, width, 3].
    """
    height, width = light.shape[0] // 2, light.shape[1] // 2
    blurred = np.empty((height, 3 * width), dtype=np.float32)
    raster.halve_and_blur(light, camera.blur * chance.between(0.5, 1.8), blurred)
    exposure = chance.between(0.8, 1.2)
    slope = chance.between(-0.12, 0.12)
    across = np.arange(width, dtype=np.float32) * (slope / width) + (exposure - slope / 2)
    gains = np.array([gain * chance.between(0.94, 1.06) for gain in camera.white], dtype=np.float32)
    tone = camera.tone * chance.between(0.9, 1.1)
    noise = camera.noise * chance.between(0.7, 1.4) / _NOISE_OF_FOUR
    response = np.array([tone, camera.saturation, camera.contrast, 0.5 + camera.black, noise], dtype=np.float32)
    octets = chance.octets(4 * blurred.size).reshape(4, height, 3 * width)
    pixels = np.empty((height, 3 * width), dtype=np.uint8)
    raster.store(blurred, across.repeat(3), np.tile(gains, width), response, octets, pixels)
    return pixels.reshape(height, width, 3)
