"""The loops over pixels, compiled: shapes, their colours, soft noise, and what a camera stores.

Numbers arrive in double precision and become single where they meet pixels, whose arithmetic is single throughout. Each
operation is one of IEEE 754, in the order in which it is written: compilers may neither regroup nor fuse them, as no
``fastmath`` is asked for.
"""

from __future__ import annotations

import math

import numpy as np

from crbench.api import compiled

_CANVAS = "u1[:, ::1], f4[:, ::1], f8"
_PAINT = "u1[:, ::1], i8, i8, i8, f8"

_ZERO, _HALF, _ONE, _FULL = (np.float32(value) for value in (0.0, 0.5, 1.0, 255.0))
_BRIGHT = np.float32(1.05)
_MOST_LIGHT = np.float32(1.2)
_DARKEST_FOLD, _FOLDS = np.float32(0.87), np.float32(0.26)
_PER_GREY = np.float32(1 / 255)
_RED, _GREEN, _BLUE = (np.float32(part) for part in (0.3, 0.59, 0.11))


@compiled("i8(f8, i8)")
def _first(edge, count):  # type: ignore[no-untyped-def]
    """The first pixel of `count` that a shape may touch which begins at `edge`."""
    return min(max(int(edge), 0), count)


@compiled("i8(f8, i8)")
def _stop(edge, count):  # type: ignore[no-untyped-def]
    """The pixel behind the last one of `count` that a shape may touch which ends at `edge`."""
    return max(min(int(edge) + 1, count), 0)


@compiled(f"void({_CANVAS}, {_PAINT}, i8, i8, f4, f4, f4)", error_model="numpy")
def _put(materials, shades, light, tile, material, down, right, falloff, row, column, side, u, v):  # type: ignore[no-untyped-def]
    """Write one pixel; `u`, `v` are the pattern's coordinates in pixels, `side` in [-1, 1] is left to right."""
    shades[row, column] = (_BRIGHT - np.float32(falloff) * (side * side)) + np.float32(light) * side
    tile_row = np.int32(u + np.float32(down + 512.0)) % tile.shape[0]
    tile_column = np.int32(v + np.float32(right + 512.0)) % tile.shape[1]
    materials[row, column] = tile[tile_row, tile_column] + material


@compiled(f"void({_CANVAS}, {_PAINT}, f8, f8, f8, f8, f8, f8)", error_model="numpy")
def limb(materials, shades, light, tile, material, down, right, falloff, x0, y0, x1, y1, r0, r1):  # type: ignore[no-untyped-def]
    """A rod from (x0, y0) of radius r0 to (x1, y1) of radius r1, with round ends; the pattern runs along it."""
    height, width = materials.shape
    dx, dy = x1 - x0, y1 - y0
    long = max(math.sqrt(dx * dx + dy * dy), 1e-3)
    dx, dy, length = np.float32(dx / long), np.float32(dy / long), np.float32(long)
    first, growth = np.float32(r0), np.float32((r1 - r0) / long)
    for row in range(_first(min(y0 - r0, y1 - r1), height), _stop(max(y0 + r0, y1 + r1), height)):
        y = (np.float32(row) + _HALF) - np.float32(y0)
        for column in range(_first(min(x0 - r0, x1 - r1), width), _stop(max(x0 + r0, x1 + r1), width)):
            x = (np.float32(column) + _HALF) - np.float32(x0)
            along, across = x * dx + y * dy, x * dy - y * dx
            inside = min(max(along, _ZERO), length)
            radius = first + inside * growth
            beyond = along - inside
            if (across * across + beyond * beyond) / (radius * radius) <= _ONE:
                side = across / radius
                _put(materials, shades, light, tile, material, down, right, falloff, row, column, side, along, across)


@compiled(f"void({_CANVAS}, {_PAINT}, f4[:, ::1], f8, f8)", error_model="numpy")
def body(materials, shades, light, tile, material, down, right, falloff, knots, top, bottom):  # type: ignore[no-untyped-def]
    """An upright shape of `knots` [n, 3]: y, centre x, half-width, `top` to `bottom`; the pattern hangs straight."""
    height, width = materials.shape
    least, most, reach = knots[0, 1], knots[0, 1], knots[0, 2]
    for knot in range(1, len(knots)):
        least, most = min(least, knots[knot, 1]), max(most, knots[knot, 1])
        reach = max(reach, knots[knot, 2])
    left, stop = np.float64(least) - np.float64(reach), np.float64(most) + np.float64(reach)
    lower = 1
    for row in range(_first(top, height), _stop(bottom, height)):
        y = np.float32(row) + _HALF
        while lower < len(knots) - 1 and knots[lower, 0] <= y:
            lower += 1
        y0, centre0, half0 = knots[lower - 1, 0], knots[lower - 1, 1], knots[lower - 1, 2]
        y1, centre1, half1 = knots[lower, 0], knots[lower, 1], knots[lower, 2]
        part = min(max((y - y0) / (y1 - y0), _ZERO), _ONE)
        centre = centre0 + part * (centre1 - centre0)
        half = max(half0 + part * (half1 - half0), _HALF)
        u = y - np.float32(top)
        for column in range(_first(left, width), _stop(stop, width)):
            across = (np.float32(column) + _HALF) - centre
            side = across / half
            if side * side <= _ONE:
                _put(materials, shades, light, tile, material, down, right, falloff, row, column, side, u, across)


@compiled(f"void({_CANVAS}, {_PAINT}, f8, f8, f8, f8, f8)", error_model="numpy")
def oval(materials, shades, light, tile, material, down, right, falloff, x0, y0, rx, ry, bottom):  # type: ignore[no-untyped-def]
    """An ellipse around (x0, y0), cut off at `bottom` (in vertical radii below the centre)."""
    height, width = materials.shape
    per_x, per_y = np.float32(1 / rx), np.float32(1 / ry)
    for row in range(_first(y0 - ry, height), _stop(y0 + ry * bottom, height)):
        y = (np.float32(row) + _HALF) - np.float32(y0)
        up = y * per_y
        for column in range(_first(x0 - rx, width), _stop(x0 + rx, width)):
            x = (np.float32(column) + _HALF) - np.float32(x0)
            side = x * per_x
            if side * side + up * up <= _ONE:
                _put(materials, shades, light, tile, material, down, right, falloff, row, column, side, y, x)


@compiled("void(u1[:, ::1], u1[:, ::1], i8, f8, f8, f8, f8)")
def stamp(materials, glyph, material, x0, y0, cell, squeeze):  # type: ignore[no-untyped-def]
    """A bitmap around (x0, y0) on what is drawn; its cells are `cell` pixels high and `squeeze` times as wide."""
    high, wide = cell * glyph.shape[0], cell * glyph.shape[1] * squeeze
    top, left = y0 - high / 2, x0 - wide / 2
    last_row, last_column = np.float32(glyph.shape[0] - 1), np.float32(glyph.shape[1] - 1)
    for row in range(_first(top, len(materials)), _stop(top + high, len(materials))):
        down = ((np.float32(row) + _HALF) - np.float32(top)) / np.float32(cell)
        cells = glyph[int(min(max(down, _ZERO), last_row))]
        for column in range(_first(left, materials.shape[1]), _stop(left + wide, materials.shape[1])):
            right = ((np.float32(column) + _HALF) - np.float32(left)) / np.float32(cell * squeeze)
            if cells[int(min(max(right, _ZERO), last_column))] and materials[row, column]:
                materials[row, column] = material


@compiled("void(f4[:, :, ::1], f8, f8)")
def shade(light, x0, y0):  # type: ignore[no-untyped-def]
    """Darken an ellipse on the ground around (x0, y0) of the light [height, width, 3]."""
    strength = np.float32(0.4)
    for row in range(min(max(int(y0) - 12, 0), light.shape[0]), min(max(int(y0) + 12, 0), light.shape[0])):
        down = np.float32(row) + np.float32(0.5 - y0)
        for column in range(min(max(int(x0) - 45, 0), light.shape[1]), min(max(int(x0) + 45, 0), light.shape[1])):
            right = np.float32(column) + np.float32(0.5 - x0)
            far = right * right * np.float32(1 / 1900.0) + down * down * np.float32(1 / 110.0)
            for channel in range(3):
                light[row, column, channel] *= _ONE - strength * max(_ONE - far, _ZERO)


@compiled("void(f4[:, :, ::1], u1[:, ::1], f4[:, ::1], f4[:, ::1], f4[:, ::1])")
def colour(light, materials, shades, folds, palette):  # type: ignore[no-untyped-def]
    """Put what is drawn into the light [height, width, 3] in [0, 255]: its colour times shade times crease of cloth.

    Args:
        folds: f32[height, width] in [0, 1], from dark to bright.
        palette: f32[n, 3], colours by material.
    """
    for row in range(light.shape[0]):
        for column in range(light.shape[1]):
            material = materials[row, column]
            if material:
                shade = shades[row, column] * (_DARKEST_FOLD + _FOLDS * folds[row, column])
                for channel in range(3):
                    light[row, column, channel] = min(max(palette[material, channel] * shade, _ZERO), _FULL)


@compiled("void(u1[:, ::1], i8, f4[:, ::1])")
def soften(octets, cell, values):  # type: ignore[no-untyped-def]
    """Fill `values` [height, width], in [0, 1]: linear between those of `octets`, one every `cell` pixels."""
    height, width = values.shape
    step = np.float32(1 / cell)
    for row in range(height):
        upper, lower, down = row // cell, row // cell + 1, np.float32(row % cell) * step
        before = np.float32(0)
        for place in range(octets.shape[1]):
            above, below = np.float32(octets[upper, place]) * _PER_GREY, np.float32(octets[lower, place]) * _PER_GREY
            here = above + down * (below - above)
            start = (place - 1) * cell
            for part in range(min(cell, width - start) if place else 0):
                values[row, start + part] = before + np.float32(part) * step * (here - before)
            before = here


@compiled("void(f4[:, :, ::1], f8, f4[:, ::1])")
def halve_and_blur(light, part, blurred):  # type: ignore[no-untyped-def]
    """Means of 2 x 2 pixels, each of which then gives `part` of its light to both neighbours, first along columns, then
    along rows; into `blurred` [height, 3 * width], where channels follow each other.
    """
    height, places = blurred.shape
    keep, give, quarter = np.float32(1 - 2 * part), np.float32(part), np.float32(0.25)
    small, tall = np.empty((height, places), dtype=np.float32), np.empty(places, dtype=np.float32)
    for row in range(height):
        for column in range(places // 3):
            for channel in range(3):
                left = light[2 * row, 2 * column, channel] + light[2 * row + 1, 2 * column, channel]
                right = light[2 * row, 2 * column + 1, channel] + light[2 * row + 1, 2 * column + 1, channel]
                small[row, 3 * column + channel] = (left + right) * quarter
    for row in range(height):
        above, below = max(row - 1, 0), min(row + 1, height - 1)
        for place in range(places):
            tall[place] = small[row, place] * keep + (small[above, place] + small[below, place]) * give
        for place in range(places):
            before = place - 3 if place >= 3 else place
            after = place + 3 if place + 3 < places else place
            blurred[row, place] = tall[place] * keep + (tall[before] + tall[after]) * give


@compiled("void(f4[:, ::1], f4[::1], f4[::1], f4[::1], u1[:, :, ::1], u1[:, ::1])", error_model="numpy")
def store(light, across, gains, response, octets, pixels):  # type: ignore[no-untyped-def]
    """What a camera stores of light in [0, 255]; channels follow each other in the columns of all arrays.

    Args:
        light: f32[height, 3 * width], which changes; `pixels`: u8 of this shape, what is stored.
        across, gains: f32[3 * width], exposure by column, and sensitivity by channel.
        response: tone, saturation, contrast, offset of the blacks, and grey levels for a unit of noise.
        octets: u8[4, height, 3 * width], whose sum is nearly normal.
    """
    tone, saturation, contrast, offset, noise = response[0], response[1], response[2], response[3], response[4]
    for row in range(light.shape[0]):
        for place in range(light.shape[1]):
            seen = ((light[row, place] * _PER_GREY) * across[place]) * gains[place]
            seen = min(max(seen, _ZERO), _MOST_LIGHT)
            light[row, place] = seen / (seen + tone * (_ONE - min(seen, _ONE)))
        for place in range(0, light.shape[1], 3):
            grey = light[row, place] * _RED + light[row, place + 1] * _GREEN + light[row, place + 2] * _BLUE
            for channel in range(3):
                light[row, place + channel] = grey + saturation * (light[row, place + channel] - grey)
        for place in range(light.shape[1]):
            total = np.int32(octets[0, row, place]) + np.int32(octets[1, row, place])
            total += np.int32(octets[2, row, place]) + np.int32(octets[3, row, place])
            seen = (light[row, place] - _HALF) * contrast + offset
            seen = seen * _FULL + np.float32(np.int32(total - 510)) * noise
            pixels[row, place] = np.uint8(np.int32(min(max(seen, _ZERO), _FULL) + _HALF))
