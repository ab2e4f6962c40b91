"""What covers the ground: grass, crops, bare soil and water. Crops alone have rows, water alone has ripples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.ndimage import gaussian_filter

from scenes.canvas import WHOLE, Canvas, Colour, Floats, Mask, Place
from scenes.curves import Curve, Lot

# Colour, strength and spacing (metres) of the rows, distance of the tractor's lanes (metres).
CROPS: list[tuple[Colour, float, float, float]] = [
    ((0.68, 0.59, 0.34), 0.13, 1.5, 18.0),  # ripe wheat
    ((0.66, 0.58, 0.40), 0.20, 2.2, 27.0),  # stubble
    ((0.30, 0.41, 0.17), 0.22, 1.6, 21.0),  # maize
    ((0.46, 0.50, 0.22), 0.16, 1.4, 18.0),  # young green
    ((0.58, 0.58, 0.22), 0.13, 1.8, 24.0),  # rape
]
GRASSES: list[Colour] = [(0.34, 0.43, 0.21), (0.38, 0.46, 0.22), (0.30, 0.42, 0.20)]
SOILS: list[Colour] = [(0.50, 0.39, 0.28), (0.45, 0.34, 0.25), (0.57, 0.45, 0.32), (0.52, 0.36, 0.25)]
WATERS: list[Colour] = [(0.11, 0.20, 0.23), (0.10, 0.19, 0.28), (0.13, 0.22, 0.21), (0.14, 0.26, 0.32)]
Box = tuple[float, float, float, float]


def split(box: Box, canvas: Canvas, field_m: tuple[float, float]) -> Iterator[Box]:
    """Cut a rectangle (left, top, right, bottom; metres) into fields."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    if max(width, height) < canvas.rng.uniform(*field_m):
        yield box
    elif width > height:
        middle = left + width * canvas.rng.uniform(0.35, 0.65)
        yield from split((left, top, middle, bottom), canvas, field_m)
        yield from split((middle, top, right, bottom), canvas, field_m)
    else:
        middle = top + height * canvas.rng.uniform(0.35, 0.65)
        yield from split((left, top, right, middle), canvas, field_m)
        yield from split((left, middle, right, bottom), canvas, field_m)


def lay_fields(canvas: Canvas, angle: float, covers: Sequence[str], field_m: tuple[float, float]) -> Floats:
    """Cover everything with fields, each of one of the `covers`; return the distance to the nearest border (metres)."""
    half, bend = canvas.size_m / 2, 2.5 * canvas.noise(60, 400, 2)
    u, v = Curve(half, half, angle).locate(canvas)
    u, v = u + bend, v + bend[::-1]
    border_m: Floats = np.full(u.shape, 99, np.float32)
    reach = half * 1.5
    for left, top, right, bottom in split((-reach, -reach, reach, reach), canvas, field_m):
        inside = (u >= left) & (u < right) & (v >= top) & (v < bottom)
        if inside.any():
            place = _bounds(inside)
            along = u if canvas.chance(0.5) else v
            cover(canvas, place, inside[place], covers[canvas.rng.integers(len(covers))], along[place])
            edges = [u - left, right - u, v - top, bottom - v]
            border_m = np.where(inside, np.min(edges, axis=0), border_m)
    margin = np.clip(1.8 + 0.5 * canvas.noise(2, 15, 1.4) - border_m, 0, 1)
    canvas.paint(WHOLE, margin, (0.34, 0.41, 0.20), 0.06, canvas.label("grass"))
    return border_m


def _bounds(mask: Mask) -> Place:
    """Return the rows and columns from the first to the last in which the mask is true somewhere."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)


def cover(canvas: Canvas, place: Place, mask: Mask, word: str, along_m: Floats) -> None:
    """Cover the ground with grass, crops in rows across `along_m`, or bare soil."""
    {"grass": _sow_grass, "cropland": _sow_crop, "bare soil": _bare}[word](canvas, place, mask, along_m)


def _sow_grass(canvas: Canvas, place: Place, mask: Mask, along_m: Floats) -> None:
    """Blotches without any direction."""
    blotches, tufts = canvas.noise(4, 40, 1.4)[place], canvas.noise(0.5, 4, 0.6)[place]
    canvas.paint(place, mask, canvas.pick(GRASSES), 0.05, canvas.label("grass"))
    canvas.paint(place, mask * np.clip(0.3 * blotches, 0, 0.45), (0.45, 0.47, 0.25), 0.05)
    canvas.shade(place, mask, 1 + 0.05 * tufts + 0.06 * blotches)


def _sow_crop(canvas: Canvas, place: Place, mask: Mask, along_m: Floats) -> None:
    """Rows, and a tractor's pair of lanes now and then."""
    colour, strength, spacing_m, lane_m = CROPS[canvas.rng.integers(len(CROPS))]
    tufts, patches = canvas.noise(0.5, 4, 0.6)[place], canvas.noise(8, 120, 1.4)[place]
    along_m = along_m + np.float32(canvas.rng.uniform(500, 600))  # no lane along the middle of the picture
    tone = 1 + strength * np.sin(along_m * np.float32(2 * math.pi / spacing_m) + 0.3 * tufts)
    tone += 0.04 * tufts + 0.06 * patches
    tone -= 0.2 * ((along_m % lane_m < 0.5) | (np.abs(along_m % lane_m - 2.1) < 0.25))
    canvas.paint(place, mask, canvas.pick([colour]), 0.03, canvas.label("cropland"))
    canvas.shade(place, mask, tone)


def _bare(canvas: Canvas, place: Place, mask: Mask, along_m: Floats) -> None:
    """Damp and dry patches, clods, stones, and the tracks of a few machines."""
    clods, patches = canvas.noise(0.8, 6, 0.5)[place], canvas.noise(4, 40, 1.4)[place]
    canvas.paint(place, mask, canvas.pick(SOILS), 0.06, canvas.label("bare soil"))
    canvas.shade(place, mask, 1 + 0.07 * clods + 0.13 * patches - 0.16 * (clods < -1.6))
    canvas.paint(place, mask & (clods > 2.3), (0.68, 0.62, 0.54), 0.05)
    track = np.abs((along_m + 6 * canvas.noise(60, 400, 2)[place]) % 31 - 15)
    canvas.shade(place, mask & (np.abs(track - 1.1) < 0.35), np.full_like(track, 0.8))


def wet(canvas: Canvas, place: Place, depth_m: Floats, colour: Colour) -> None:
    """Flood the pixels where `depth_m`, the distance from the shore, is positive: darker far out, ripples, glints."""
    mask = np.clip(depth_m / 0.8 + 0.5, 0, 1)
    red, green, blue = colour
    canvas.paint(place, mask, (red * 1.6, green * 1.45, blue * 1.2), 0.015, canvas.label("water"))
    canvas.paint(place, np.clip(depth_m / 6, 0, 1), colour, 0.015)
    swell, fine = canvas.noise(8, 120, 1.4)[place], canvas.noise(0.6, 3, 0.6)[place]
    heading = canvas.rng.uniform(0, math.pi)
    phase = canvas.x_m[place] * math.cos(heading) + canvas.y_m[place] * math.sin(heading)
    ripple = np.sin(phase * np.float32(2 * math.pi / 2.6) + 1.6 * fine + 2.5 * swell) + 0.5 * fine
    open_water = mask > 0.5
    canvas.colour[place] += (open_water * (0.016 * ripple + 0.010 * swell))[..., None]
    glint = np.clip((ripple + 0.3 * swell - 1.7) * 0.5, 0, 0.5) * open_water
    canvas.paint(place, glint, (0.62, 0.68, 0.72), 0.02)
    canvas.height_m[place] = np.where(open_water, 0, canvas.height_m[place])


def dig_river(canvas: Canvas, curve: Curve, half_width_m: float) -> Floats:
    """Let a river flow along a curve; return the distance from its banks in metres, negative in the water."""
    _, across = curve.locate(canvas)
    shore_m: Floats = np.abs(across) + 0.6 * canvas.noise(2, 15, 1.4) - np.float32(half_width_m)
    _paint_bank(canvas, shore_m)
    return shore_m


def dig_lake(canvas: Canvas, x_m: float, y_m: float, radius_m: float) -> Floats:
    """Dig a lake of no simple shape; return the distance from its shore in metres, negative in the water."""
    bumps = canvas.noise(25, 120, 1.6)
    across = np.hypot(canvas.x_m - np.float32(x_m), canvas.y_m - np.float32(y_m))
    shore_m: Floats = across - np.float32(radius_m) * (1 + 0.2 * bumps) + 0.6 * canvas.noise(2, 15, 1.4)
    _paint_bank(canvas, shore_m)
    return shore_m


def _paint_bank(canvas: Canvas, shore_m: Floats) -> None:
    """Paint reeds, a strip of wet ground, and the water."""
    canvas.paint(WHOLE, np.clip((4 - shore_m) / 3, 0, 1), (0.32, 0.40, 0.19), 0.08, canvas.label("grass"))
    canvas.paint(WHOLE, np.clip(0.6 - shore_m, 0, 1) * 0.8, (0.56, 0.51, 0.40), 0.06)
    wet(canvas, WHOLE, -shore_m, canvas.pick(WATERS))
    canvas.taken |= shore_m < 2


def lot_cover(canvas: Canvas, lot: Lot, word: str, soft_m: float = 0.0) -> None:
    """Cover a lot's ground; its border wavers by `soft_m`."""
    ground = lot.ground(canvas)
    if ground is None:
        return
    place, along, across, inside = ground
    if soft_m:
        edge_m = np.maximum(np.abs(along) - lot.width_m / 2, np.abs(across) - lot.depth_m / 2)
        inside = edge_m + soft_m * (1.2 + canvas.noise(4, 40, 1.4)[place]) < 0
    cover(canvas, place, inside, word, along)


def soften(mask: Mask, canvas: Canvas, reach_m: float) -> Floats:
    """Return a mask with wide, soft edges, 0..1."""
    blurred: Floats = gaussian_filter(mask.astype(np.float32), reach_m / canvas.pixel_m)
    return blurred
