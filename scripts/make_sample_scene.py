#!/usr/bin/env python3
"""Draws an aerial picture of a place that does not exist: fields, forest, a river, a village, roads and cars.

Everything is painted into a colour map and a height map; one sun then lights both, so all shadows agree.

    scripts/make_sample_scene.py OUT.tif [--size 1024] [--seed 0]
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin
from scipy.ndimage import gaussian_filter

from scene_canvas import PIXEL_M, WHOLE, Canvas, Colour, Floats, develop

EPSG = 32632
SMALLEST_PX = 64
CORNER_X_M, CORNER_Y_M = 512_000.0, 5_403_000.0  # upper left
# Colour, strength and spacing (metres) of the rows, distance of the tractor's lanes (metres; 0: none).
CROPS: list[tuple[Colour, float, float, float]] = [
    ((0.66, 0.58, 0.36), 0.04, 0.9, 18.0),  # ripe wheat
    ((0.62, 0.55, 0.40), 0.10, 1.6, 0.0),  # stubble
    ((0.43, 0.35, 0.27), 0.12, 1.1, 0.0),  # ploughed
    ((0.31, 0.40, 0.18), 0.07, 1.0, 21.0),  # maize
    ((0.38, 0.45, 0.22), 0.02, 3.0, 0.0),  # meadow
    ((0.45, 0.49, 0.24), 0.05, 0.8, 18.0),  # young green
]
ROOFS: list[Colour] = [
    (0.55, 0.30, 0.22),
    (0.60, 0.36, 0.26),
    (0.44, 0.26, 0.21),
    (0.36, 0.34, 0.34),
    (0.48, 0.33, 0.25),
]
CARS: list[Colour] = [
    (0.85, 0.85, 0.86),
    (0.10, 0.10, 0.11),
    (0.45, 0.46, 0.48),
    (0.55, 0.10, 0.10),
    (0.14, 0.22, 0.42),
]
GRASS: Colour = (0.36, 0.43, 0.21)
ASPHALT: Colour = (0.42, 0.42, 0.42)
LANE_M = 118.0  # length of the lane from the road to the farm


def split(rectangle: tuple[float, float, float, float], canvas: Canvas) -> Iterator[tuple[float, float, float, float]]:
    """Cut a rectangle (left, top, right, bottom; metres) into fields."""
    left, top, right, bottom = rectangle
    width, height = right - left, bottom - top
    if max(width, height) < canvas.rng.uniform(70, 150):
        yield rectangle
    elif width > height:
        middle = left + width * canvas.rng.uniform(0.35, 0.65)
        yield from split((left, top, middle, bottom), canvas)
        yield from split((middle, top, right, bottom), canvas)
    else:
        middle = top + height * canvas.rng.uniform(0.35, 0.65)
        yield from split((left, top, right, middle), canvas)
        yield from split((left, middle, right, bottom), canvas)


def draw_fields(canvas: Canvas) -> Floats:
    """Paint fields over everything and return the distance to the nearest field border in metres."""
    angle, half = canvas.rng.uniform(-0.3, 0.3), canvas.size_m / 2
    bend = 2.5 * canvas.noise(60, 400, 2)
    dx, dy = canvas.x_m - half, canvas.y_m - half
    u = dx * math.cos(angle) + dy * math.sin(angle) + bend
    v = dy * math.cos(angle) - dx * math.sin(angle) + bend[::-1]
    fine, patchy = canvas.noise(0.5, 4, 0.6), canvas.noise(8, 120, 1.4)
    border_m: Floats = np.full(u.shape, 99, np.float32)
    reach = half * 1.5
    for left, top, right, bottom in split((-reach, -reach, reach, reach), canvas):
        inside = (u >= left) & (u < right) & (v >= top) & (v < bottom)
        u_in, v_in = u[inside], v[inside]
        colour, strength, spacing_m, lane_m = CROPS[canvas.rng.integers(len(CROPS))]
        along = u_in if canvas.rng.random() < 0.5 else v_in
        tone = 1 + strength * np.sin(along * (2 * np.pi / spacing_m) + 0.4 * fine[inside])
        tone += 0.05 * fine[inside] + 0.07 * patchy[inside]
        if lane_m:
            tone -= 0.16 * ((along % lane_m < 0.45) | (np.abs(along % lane_m - 1.9) < 0.25))
        canvas.colour[inside] = np.asarray(colour, np.float32) * tone[:, None]
        border_m[inside] = np.min([u_in - left, right - u_in, v_in - top, bottom - v_in], axis=0)
    margin = np.clip(1.6 + 0.6 * fine - border_m, 0, 1)
    canvas.paint(WHOLE, margin, (0.34, 0.39, 0.20), 0.06)
    return border_m


def draw_river(canvas: Canvas) -> Floats:
    """Paint a river from north to south and return the distance from its middle line in metres, signed."""
    phase, x_m = canvas.rng.uniform(0, 6), canvas.size_m * canvas.rng.uniform(0.12, 0.2)
    y = canvas.y_m
    middle = x_m + 14 * np.sin(y / 48 + phase) + 5 * np.sin(y / 17 + 2 * phase)
    lean = 14 / 48 * np.cos(y / 48 + phase) + 5 / 17 * np.cos(y / 17 + 2 * phase)
    across: Floats = (canvas.x_m - middle) / np.sqrt(1 + lean**2)
    ragged = np.abs(across) + 0.5 * canvas.noise(1, 12, 1.0)
    canvas.paint(WHOLE, np.clip((11 - ragged) / 3, 0, 1), (0.33, 0.40, 0.19), 0.08)
    canvas.paint(WHOLE, np.clip(7.6 - ragged, 0, 1) * 0.8, (0.56, 0.51, 0.40), 0.06)
    canvas.paint(WHOLE, np.clip((7 - ragged) / 0.8, 0, 1), (0.22, 0.27, 0.22), 0.015)
    canvas.paint(WHOLE, np.clip((5 - ragged) / 4, 0, 1) * 0.7, (0.13, 0.19, 0.18), 0.015)
    canvas.colour += (0.012 * canvas.noise(1, 9, 1.0) * (np.abs(across) < 6.5))[..., None]
    return across


class Road:
    """A road from west to east, a gentle curve."""

    def __init__(self, canvas: Canvas) -> None:
        self._phase = canvas.rng.uniform(0, 6)
        self._y_m = canvas.size_m * canvas.rng.uniform(0.55, 0.65)

    def y_m(self, x_m: Floats | float) -> Floats:
        """Return where the road's middle lies."""
        return np.asarray(self._y_m + 9 * np.sin(np.asarray(x_m) / 90 + self._phase), np.float32)

    def angle(self, x_m: Floats | float) -> Floats:
        """Return the road's direction in radians."""
        return np.asarray(np.arctan(0.1 * np.cos(np.asarray(x_m) / 90 + self._phase)), np.float32)

    def draw(self, canvas: Canvas) -> Floats:
        """Paint verge, asphalt, wheel tracks and lines; return the distance from the middle line in metres, signed."""
        across: Floats = (canvas.y_m - self.y_m(canvas.x_m)) * np.cos(self.angle(canvas.x_m))
        side = np.abs(across)
        canvas.paint(WHOLE, np.clip(6.2 + 0.6 * canvas.noise(1, 10, 1.0) - side, 0, 1), (0.40, 0.44, 0.24), 0.07)
        canvas.paint(WHOLE, np.clip((3.6 - side) / 0.4, 0, 1), ASPHALT, 0.025)
        canvas.colour *= 1 + ((side < 3.4) * (0.05 * canvas.noise(1, 30, 0.8) + 0.05 * np.cos(side * 3.6)))[..., None]
        lines = ((side < 0.12) & (canvas.x_m % 9 < 4.5)) | (np.abs(side - 3.05) < 0.12)
        canvas.paint(WHOLE, gaussian_filter(lines.astype(np.float32), 0.5) * 0.9, (0.82, 0.82, 0.80))
        return across


def draw_lane(canvas: Canvas, x_m: float, south_m: float, lean: float) -> Floats:
    """Paint a lane that leaves the road to the north; return the distance from its axis in metres, signed."""
    across: Floats = (canvas.x_m - x_m - lean * (canvas.y_m - south_m)) * np.cos(math.atan(lean))
    side = np.where(np.abs(canvas.y_m - south_m + LANE_M / 2) < LANE_M / 2 - 3, np.abs(across), 99)
    canvas.paint(WHOLE, np.clip(3.4 + 0.4 * canvas.noise(1, 10, 1.0) - side, 0, 1), GRASS, 0.07)
    canvas.paint(WHOLE, np.clip((2.4 - side) / 0.4, 0, 1), (0.47, 0.46, 0.45), 0.03)
    return across


def draw_roof(canvas: Canvas, x_m: float, y_m: float, angle: float, size_m: tuple[float, float], flat: bool) -> None:
    """Put up a building: a gable roof with its ridge along `angle`, or a flat one."""
    spot = canvas.around(x_m, y_m, angle, max(size_m))
    if spot is None:
        return
    place, along, across = spot
    half_length, half_width = size_m[0] / 2, size_m[1] / 2
    mask = (np.abs(along) <= half_length) & (np.abs(across) <= half_width)
    rise = 0.0 if flat else math.tan(math.radians(canvas.rng.uniform(28, 42)))
    eaves_m = canvas.rng.uniform(3.0, 5.0)
    canvas.paint(place, mask, canvas.pick([(0.62, 0.61, 0.58), (0.50, 0.49, 0.47)] if flat else ROOFS), 0.05)
    canvas.colour[place] *= (1 + mask * 0.05 * np.sin(across * 2 * np.pi / 0.7))[..., None]
    canvas.raise_to(place, mask, (eaves_m + rise * (half_width - np.abs(across))).astype(np.float32))
    if not flat and canvas.rng.random() < 0.3:
        panels = (np.abs(along) < half_length * 0.7) & (across > half_width * 0.15) & (across < half_width * 0.8)
        frames = (along % 1.75 > 0.25) & (across % 1.25 > 0.25)
        canvas.paint(place, panels, (0.30, 0.32, 0.38))
        canvas.paint(place, panels & frames, (0.09, 0.11, 0.20))
    chimney = (np.abs(along - half_length * 0.4) < 0.5) & (np.abs(across + 0.8) < 0.4) & (half_width > 3)
    canvas.paint(place, chimney & mask, (0.40, 0.30, 0.27))
    canvas.height_m[place] += 1.2 * (chimney & mask)


def draw_car(canvas: Canvas, x_m: float, y_m: float, angle: float) -> None:
    """Park a car, 4.5 m by 1.9 m, along `angle`."""
    spot = canvas.around(x_m, y_m, angle, 3)
    if spot is None:
        return
    place, along, across = spot
    body = (np.abs(along / 2.25) ** 6 + np.abs(across / 0.93) ** 6) < 1
    glass = body & (np.abs(across) < 0.75) & ((np.abs(along - 0.75) < 0.4) | (np.abs(along + 1.35) < 0.3))
    canvas.paint(place, body, canvas.pick(CARS), 0.01)
    canvas.paint(place, glass, (0.12, 0.14, 0.16), 0.01)
    canvas.raise_to(place, body, 1.4)


def draw_parcel(canvas: Canvas, x_m: float, y_m: float, angle: float) -> None:
    """Put a house into a garden that is 23 m wide; the street lies in the direction of `angle` + 90 degrees."""
    rng, spot = canvas.rng, canvas.around(x_m, y_m, angle, 20)
    if spot is None:
        return
    place, along, across = spot
    lawn = np.clip(11.6 - np.abs(along), 0, 1) * np.clip(15 - np.abs(across), 0, 1)
    canvas.taken[place] |= lawn > 0
    canvas.paint(place, lawn * 0.9, canvas.pick([GRASS, (0.42, 0.46, 0.26), (0.33, 0.42, 0.20)]), 0.06)
    drive = rng.choice([-6.5, 6.5])
    canvas.paint(place, (np.abs(along - drive) < 1.7) & (np.abs(across - 8) < 9), (0.58, 0.56, 0.53), 0.05)
    canvas.paint(place, (np.abs(along) < 5) & (np.abs(across + 7.5) < 2.2), (0.63, 0.58, 0.52), 0.05)
    cos, sin = math.cos(angle), math.sin(angle)

    def at(u: float, v: float) -> tuple[float, float]:
        return x_m + u * cos - v * sin, y_m + u * sin + v * cos

    turn = angle + rng.choice([0, math.pi / 2]) + rng.normal(0, 0.02)
    draw_roof(canvas, *at(-drive * 0.2, 0), turn, (rng.uniform(9.5, 12.5), rng.uniform(7.5, 9)), flat=False)
    draw_roof(canvas, *at(drive, -1), angle + math.pi / 2, (6, 3.4), flat=rng.random() < 0.7)
    if rng.random() < 0.7:
        draw_car(canvas, *at(drive + rng.normal(0, 0.2), 7), angle + math.pi / 2)
    if rng.random() < 0.3:
        pool = np.clip((2.4 - np.hypot(np.maximum(np.abs(along + drive * 0.6) - 2, 0), across + 10.5)) / 0.4, 0, 1)
        canvas.paint(place, pool, (0.72, 0.70, 0.66))
        canvas.paint(place, np.clip(pool * 3 - 2, 0, 1), (0.32, 0.62, 0.68), 0.02)
    for _ in range(rng.integers(2, 6)):
        back_or_front = rng.choice([-1, -1, 1]) * rng.uniform(9, 13)
        draw_crown(canvas, *at(rng.uniform(-10, 10), back_or_front), rng.uniform(0.9, 2.8))
    if rng.random() < 0.6:
        for v in np.arange(-14, 10, 1.1):
            draw_crown(canvas, *at(11.2, float(v)), rng.uniform(0.7, 0.95))


def draw_crown(canvas: Canvas, x_m: float, y_m: float, radius_m: float, tone: float = 1.0) -> None:
    """Plant a tree or a bush."""
    spot = canvas.around(x_m, y_m, canvas.rng.uniform(0, 6), radius_m * 1.3)
    if spot is None:
        return
    place, along, across = spot
    turn = np.arctan2(across, along)
    edge = radius_m * (1 + 0.12 * np.sin(3 * turn) + 0.08 * np.sin(5 * turn + 1) + 0.06 * canvas.leaves[place])
    inside = 1 - (np.hypot(along, across) / edge) ** 2
    top_m = radius_m * (1.3 + 1.5 * np.sqrt(np.maximum(inside, 0))) + 0.35 * canvas.leaves[place]
    mask = (inside > 0) & (top_m > canvas.height_m[place])
    green = canvas.pick([(0.30, 0.38, 0.20), (0.25, 0.34, 0.19), (0.35, 0.40, 0.21), (0.22, 0.30, 0.20)])
    canvas.paint(place, mask, (green[0] * tone, green[1] * tone, green[2]), 0.10)
    canvas.raise_to(place, mask, top_m)


def scatter_trees(canvas: Canvas, density: Floats, spacing_m: float, radius_m: tuple[float, float]) -> None:
    """Plant trees about `spacing_m` apart, each with the probability that `density` ``(n, n)`` has there."""
    steps = np.arange(0, canvas.size_m, spacing_m)
    for x_m, y_m in ((x, y) for y in steps for x in steps):
        x, y = (float(value + canvas.rng.uniform(0, spacing_m)) for value in (x_m, y_m))
        col, row = (min(int(value / PIXEL_M), canvas.size_px - 1) for value in (x, y))
        if canvas.rng.random() < density[row, col]:
            draw_crown(canvas, x, y, canvas.rng.uniform(*radius_m), 1 + 0.15 * float(canvas.leaves[row, col]))


def build_village(canvas: Canvas, road: Road, lane_x_m: float, lean: float, river_m: Floats) -> None:
    """Put houses along the road and the lane, a farm at the lane's end, and cars on the road."""
    road_y_m = float(road.y_m(lane_x_m))
    for x_m in np.arange(lane_x_m - 92, lane_x_m + 93, 23):
        angle, y_m = float(road.angle(x_m)), float(road.y_m(x_m))
        for side in (-1, 1):
            if is_dry(river_m, x_m) and (side > 0 or abs(x_m - lane_x_m) > 14) and canvas.rng.random() < 0.9:
                draw_parcel(canvas, x_m, y_m + side * 20.5, angle + (math.pi if side > 0 else 0))
    for step in range(2):
        y_m = road_y_m - 54 - 23 * step
        for side in (-1, 1):
            x_m = lane_x_m + lean * (y_m - road_y_m) + side * 18.5
            draw_parcel(canvas, x_m, y_m, side * math.pi / 2 - math.atan(lean))
    draw_farm(canvas, lane_x_m - lean * LANE_M, road_y_m - LANE_M)
    for x_m in np.arange(canvas.rng.uniform(5, 40), canvas.size_m, 38):
        x = float(x_m + canvas.rng.uniform(-14, 14))
        draw_car(canvas, x, float(road.y_m(x)) + float(canvas.rng.choice([-1.7, 1.7])), float(road.angle(x)))


def is_dry(river_m: Floats, x_m: float) -> bool:
    """Whether the column of pixels at `x_m` is in the picture and away from the river."""
    col = int(x_m / PIXEL_M)
    return 0 <= col < river_m.shape[1] and bool(np.abs(river_m[:, col]).min() > 28)


def draw_farm(canvas: Canvas, x_m: float, y_m: float) -> None:
    """Put barns around a yard."""
    angle = canvas.rng.uniform(-0.2, 0.2)
    spot = canvas.around(x_m, y_m, angle, 32)
    if spot is None:
        return
    place, along, across = spot
    ragged = np.maximum(np.abs(along) - 24, np.abs(across) - 17) + 0.8 * canvas.leaves[place]
    canvas.taken[place] |= ragged < 2
    canvas.paint(place, np.clip(-ragged / 2, 0, 1), (0.56, 0.52, 0.46), 0.06)
    draw_roof(canvas, x_m - 6, y_m - 10, angle, (30, 13), flat=False)
    draw_roof(canvas, x_m + 14, y_m + 5, angle + math.pi / 2, (20, 11), flat=False)
    draw_roof(canvas, x_m - 14, y_m + 9, angle, (14, 9), flat=True)


def plant(canvas: Canvas, border_m: Floats, river_m: Floats, road_m: Floats, lane_m: Floats) -> None:
    """Grow forest, trees along the river, and hedges between fields."""
    river, road, lane = np.abs(river_m), np.abs(road_m), np.abs(lane_m)
    free = ~canvas.taken & (river > 8) & (road > 7) & (lane > 5)
    forest = free & (canvas.noise(90, 600, 2) > 0.55) & (road > 26) & (lane > 30)
    canvas.paint(WHOLE, gaussian_filter(forest.astype(np.float32), 4) * 0.9, (0.20, 0.24, 0.14), 0.1)
    scatter_trees(canvas, forest * 0.95, 3.6, (1.8, 3.9))
    scatter_trees(canvas, (free & (river < 15) & (canvas.noise(8, 60) > -0.2)) * 0.7, 4.0, (1.2, 3.4))
    scatter_trees(canvas, (free & (border_m < 2) & (canvas.noise(15, 90) > 0.5)) * 0.8, 2.2, (0.8, 1.7))
    scatter_trees(canvas, (free & (road < 9) & (canvas.noise(20, 90) > 0.3)) * 0.5, 7.0, (1.8, 3.0))


def draw_scene(size_px: int, seed: int) -> NDArray[np.uint8]:
    """Return the picture, ``(size_px, size_px, 3)``, 0..255, the same for the same seed."""
    canvas = Canvas(size_px, seed)
    border_m = draw_fields(canvas)
    river_m = draw_river(canvas)
    lane_x_m, lean = canvas.size_m * canvas.rng.uniform(0.45, 0.6), canvas.rng.uniform(-0.2, 0.2)
    road = Road(canvas)
    road_m = road.draw(canvas)
    lane_m = draw_lane(canvas, lane_x_m, float(road.y_m(lane_x_m)), lean)
    build_village(canvas, road, lane_x_m, lean, river_m)
    plant(canvas, border_m, river_m, road_m, lane_m)
    return develop(canvas)


def write_scene(path: Path, size_px: int = 1024, seed: int = 0) -> Path:
    """Draw a scene and write it as a tiled GeoTIFF, uint8, red, green and blue; return `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "width": size_px, "height": size_px, "count": 3, "dtype": "uint8"}
    layout = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate", "predictor": 2}
    place = {"crs": f"EPSG:{EPSG}", "transform": from_origin(CORNER_X_M, CORNER_Y_M, PIXEL_M, PIXEL_M)}
    with rasterio.open(path, "w", **profile, **layout, **place, photometric="rgb", interleave="pixel") as file:
        file.write(np.moveaxis(draw_scene(size_px, seed), -1, 0))
    return path


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Draws an aerial picture of a place that does not exist.")
    parser.add_argument("out", type=Path, help="GeoTIFF to write")
    parser.add_argument("--size", type=int, default=1024, help="side in pixels of 0.25 m (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another place (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.size < SMALLEST_PX:
        parser.error(f"--size {arguments.size} is too small for a landscape: choose at least {SMALLEST_PX}.")
    print(write_scene(arguments.out, arguments.size, arguments.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
