"""The loops of `crbench_synthetic.raster` as array operations, one NumPy operation for each operation of IEEE 754."""

from __future__ import annotations

import math

import numpy as np


def limb(canvas, start, end, radii, paint):
    (x0, y0), (x1, y1), (r0, r1) = start, end, radii
    box, x, y = _box(canvas, min(x0 - r0, x1 - r1), min(y0 - r0, y1 - r1), max(x0 + r0, x1 + r1), max(y0 + r0, y1 + r1))
    dx, dy = x1 - x0, y1 - y0
    length = max(math.sqrt(dx * dx + dy * dy), 1e-3)
    dx, dy = dx / length, dy / length
    x, y = x - x0, y - y0
    along = x * dx + y * dy
    across = x * dy - y * dx
    inside = np.clip(along, 0.0, length)
    radius = r0 + inside * ((r1 - r0) / length)
    beyond = along - inside
    squared = (across * across + beyond * beyond) / (radius * radius)
    _fill(canvas, box, squared, across / radius, along, across, paint)


def body(canvas, knots, paint):
    ys, centres, halves = (np.array(column, dtype=np.float32) for column in zip(*knots, strict=True))
    reach = float(halves.max())
    box, x, y = _box(canvas, float(centres.min()) - reach, knots[0][0], float(centres.max()) + reach, knots[-1][0])
    lower = np.clip(np.searchsorted(ys, y[:, 0], side="right"), 1, len(ys) - 1)
    upper = lower - 1
    part = np.clip((y[:, 0] - ys[upper]) / (ys[lower] - ys[upper]), 0.0, 1.0)
    centre = (centres[upper] + part * (centres[lower] - centres[upper]))[:, None]
    half = np.maximum(halves[upper] + part * (halves[lower] - halves[upper]), 0.5)[:, None]
    across = x - centre
    side = across / half
    _fill(canvas, box, side * side, side, y - knots[0][0], across, paint)


def oval(canvas, centre, radii, paint, *, bottom=1.0):
    (cx, cy), (rx, ry) = centre, radii
    box, x, y = _box(canvas, cx - rx, cy - ry, cx + rx, cy + ry * bottom)
    side, up = (x - cx) * (1 / rx), (y - cy) * (1 / ry)
    _fill(canvas, box, side * side + up * up, side, y - cy, x - cx, paint)


def stamp(canvas, centre, glyph, cell, squeeze, material):
    height, width = cell * glyph.shape[0], cell * glyph.shape[1] * squeeze
    left, top = centre[0] - width / 2, centre[1] - height / 2
    box, x, y = _box(canvas, left, top, left + width, top + height)
    row = np.clip((y - top) / cell, 0, glyph.shape[0] - 1).astype(np.intp)
    column = np.clip((x - left) / (cell * squeeze), 0, glyph.shape[1] - 1).astype(np.intp)
    target = canvas.materials[box]
    np.copyto(target, np.uint8(material), where=(glyph[row, column] > 0) & (target > 0))


def _box(canvas, left, top, right, bottom):
    height, width = canvas.materials.shape
    rows = slice(min(max(int(top), 0), height), max(min(int(bottom) + 1, height), 0))
    columns = slice(min(max(int(left), 0), width), max(min(int(right) + 1, width), 0))
    x, y = (np.arange(count, dtype=np.float32) + np.float32(0.5) for count in (width, height))
    return (rows, columns), x[None, columns], y[rows, None]


def _fill(canvas, box, squared, side, u, v, paint):
    inside = squared <= 1.0
    shade = (1.05 - paint.falloff * (side * side)) + canvas.light * side
    np.copyto(canvas.shades[box], shade, where=inside)
    row = (u + (paint.shift[0] + 512.0)).astype(np.int32) % paint.tile.shape[0]
    column = (v + (paint.shift[1] + 512.0)).astype(np.int32) % paint.tile.shape[1]
    np.copyto(canvas.materials[box], paint.tile[row, column] + np.uint8(paint.material), where=inside)


def shade(light, x, y):
    height, width = light.shape[:2]
    rows, columns = (slice(max(int(at) - reach, 0), max(int(at) + reach, 0)) for at, reach in ((y, 12), (x, 45)))
    down = np.arange(height, dtype=np.float32)[rows, None] + (0.5 - y)
    right = np.arange(width, dtype=np.float32)[None, columns] + (0.5 - x)
    far = right * right * (1 / 1900.0) + down * down * (1 / 110.0)
    light[rows, columns] *= (1.0 - 0.4 * np.maximum(1.0 - far, 0.0))[:, :, None]


def colour(light, materials, shades, folds, palette):
    shaded = palette[materials] * (shades * (0.87 + 0.26 * folds))[:, :, None]
    np.copyto(light, np.clip(shaded, 0, 255), where=(materials > 0)[:, :, None])


def soft(chance, height, width, cell):
    rows, columns = height // cell + 2, width // cell + 2
    values = chance.octets(rows * columns).reshape(rows, columns).astype(np.float32) * (1 / 255)
    part = np.arange(cell, dtype=np.float32) * (1 / cell)
    tall = (values[:-1, None] + part[None, :, None] * (values[1:, None] - values[:-1, None])).reshape(-1, columns)
    left, right = tall[:, :-1, None], tall[:, 1:, None]
    wide = (left + part * (right - left)).reshape(len(tall), -1)
    return wide[:height, :width]


def record(light, camera, chance):
    rows = light[0::2] + light[1::2]
    out = _blurred((rows[:, 0::2] + rows[:, 1::2]) * 0.25, camera.blur * chance.between(0.5, 1.8)) * (1 / 255)
    exposure = chance.between(0.8, 1.2)
    slope = chance.between(-0.12, 0.12)
    across = np.arange(out.shape[1], dtype=np.float32) * (slope / out.shape[1]) + (exposure - slope / 2)
    out *= across[None, :, None]
    out *= np.array([gain * chance.between(0.94, 1.06) for gain in camera.white], dtype=np.float32)
    out = np.clip(out, 0.0, 1.2)
    tone = camera.tone * chance.between(0.9, 1.1)
    out = out / (out + tone * (1.0 - np.minimum(out, 1.0)))
    grey = (out[..., 0] * 0.3 + out[..., 1] * 0.59 + out[..., 2] * 0.11)[..., None]
    out = grey + camera.saturation * (out - grey)
    out = (out - 0.5) * camera.contrast + (0.5 + camera.black)
    out = out * 255.0 + _noise(out.shape, camera.noise * chance.between(0.7, 1.4), chance)
    return np.floor(np.clip(out, 0.0, 255.0) + 0.5).astype(np.uint8)


def _blurred(light, part):
    tall = np.concatenate([light[:1], light, light[-1:]])
    light = light * (1 - 2 * part) + (tall[:-2] + tall[2:]) * part
    wide = np.concatenate([light[:, :1], light, light[:, -1:]], axis=1)
    return light * (1 - 2 * part) + (wide[:, :-2] + wide[:, 2:]) * part


def _noise(shape, sigma, chance):
    octets = chance.octets(4 * math.prod(shape)).reshape(4, *shape).astype(np.int16)
    total = octets[0] + octets[1] + octets[2] + octets[3] - np.int16(510)
    return total.astype(np.float32) * (sigma / 147.8)
