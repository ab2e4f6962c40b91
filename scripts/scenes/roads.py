"""Roads with their lines, and car parks with their bays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from scenes.canvas import WHOLE, Canvas, Colour, Floats
from scenes.curves import Curve, Lot
from scenes.plants import draw_crown
from scenes.vehicles import draw_car

ASPHALTS: list[Colour] = [(0.42, 0.42, 0.42), (0.36, 0.36, 0.37), (0.47, 0.46, 0.45)]
PAINT: Colour = (0.84, 0.84, 0.81)
BAY_WIDTH_M, BAY_DEPTH_M, MODULE_M = 2.6, 5.0, 16.0  # two rows of bays and the lane between them


@dataclass(frozen=True)
class Street:
    """A road along a curve."""

    curve: Curve
    half_width_m: float = 3.6


def pave(canvas: Canvas, streets: Sequence[Street]) -> Floats:
    """Paint verges, asphalt and lines of all roads; return the distance to the nearest asphalt in metres."""
    spots = [street.curve.locate(canvas) for street in streets]
    edges = [np.abs(across) - np.float32(street.half_width_m) for street, (_, across) in zip(streets, spots)]
    nearest: Floats = np.min([*edges, np.full_like(canvas.x_m, 99)], axis=0)
    wander = 0.5 * canvas.noise(2, 15, 1.4)
    canvas.paint(WHOLE, np.clip(2.6 + wander - nearest, 0, 1), (0.38, 0.44, 0.23), 0.07, canvas.label("grass"))
    canvas.taken |= nearest < 1.5
    canvas.paint(WHOLE, np.clip(0.5 - nearest / 0.4, 0, 1), canvas.pick(ASPHALTS), 0.025, canvas.label("road"))
    canvas.shade(WHOLE, nearest < -0.2, 1 + 0.05 * canvas.noise(1, 30, 0.8))
    canvas.height_m[nearest < 0] = 0
    for index, (street, (along, across)) in enumerate(zip(streets, spots)):
        others = edges[:index] + edges[index + 1 :]
        crossing = np.min(others, axis=0) < 1 if others else np.zeros(along.shape, bool)
        _mark(canvas, np.where(crossing, 99, across), along, street.half_width_m)
    return nearest


def _mark(canvas: Canvas, across: Floats, along: Floats, half_width_m: float) -> None:
    """Paint wheel tracks, a broken line along the middle and a line along each edge."""
    side = np.abs(across)
    canvas.shade(WHOLE, side < half_width_m - 0.2, 1 + 0.05 * np.cos(side * 3.6))
    lines = ((side < 0.13) & (along % 9 < 4.5)) | (np.abs(side - half_width_m + 0.5) < 0.13)
    canvas.paint(WHOLE, np.clip(gaussian_filter(lines.astype(np.float32), 0.5), 0, 0.45) * 2, PAINT)


def draw_car_park(canvas: Canvas, lot: Lot) -> None:
    """Pave a lot, mark bays in double rows, and fill some of them with cars and a few with trees."""
    ground = lot.ground(canvas)
    if ground is None:
        return
    place, along, across, inside = ground
    rows = max(1, int(lot.depth_m / MODULE_M))
    u, v = along + np.float32(lot.width_m / 2), across + np.float32(rows * MODULE_M / 2)
    canvas.paint(place, inside, canvas.pick(ASPHALTS), 0.03, canvas.label("car park"))
    canvas.shade(place, inside, 1 + 0.06 * canvas.noise(1, 30, 0.8)[place])
    beyond = v % MODULE_M
    bay = ((beyond < BAY_DEPTH_M) | (beyond > MODULE_M - BAY_DEPTH_M)) & (v > 0) & (v < rows * MODULE_M)
    bay &= (u > 1) & (u < lot.width_m - 1)
    bars = bay & (np.abs((u - 1) % BAY_WIDTH_M - BAY_WIDTH_M / 2) > BAY_WIDTH_M / 2 - 0.13)
    backs = bay & (np.minimum(beyond, MODULE_M - beyond) < 0.13)
    canvas.paint(place, (bars | backs) & inside, PAINT, 0.02)
    _park_cars(canvas, lot, rows)


def _park_cars(canvas: Canvas, lot: Lot, rows: int) -> None:
    rng, filled = canvas.rng, canvas.rng.uniform(0.35, 0.85)
    bays = np.arange(1 + BAY_WIDTH_M / 2, lot.width_m - 1 - BAY_WIDTH_M / 2, BAY_WIDTH_M) - lot.width_m / 2
    lanes = [row * MODULE_M + side for row in range(rows) for side in (2.6, MODULE_M - 2.6)]
    for v in np.array(lanes) - rows * MODULE_M / 2:
        for u in bays:
            x_m, y_m = lot.at(float(u) + rng.normal(0, 0.12), float(v) + rng.normal(0, 0.15))
            if canvas.chance(filled):
                draw_car(canvas, x_m, y_m, lot.angle + rng.choice([-1, 1]) * np.pi / 2 + rng.normal(0, 0.02))
            elif canvas.chance(0.07):
                draw_crown(canvas, x_m, y_m, rng.uniform(1.4, 2.3))


def drive(canvas: Canvas, streets: Sequence[Street], spacing_m: float) -> None:
    """Let cars drive on the right, and park some at the edge of the road; never where there is no road."""
    rng = canvas.rng
    reach = canvas.size_m * 0.8
    for street in streets:
        along = -reach + rng.uniform(0, spacing_m)
        while along < reach:
            side = float(rng.choice([-1, 1])) * (street.half_width_m / 2)
            x_m, y_m, angle = street.curve.at(along, side)
            if canvas.class_at(x_m, y_m) == "road":
                draw_car(canvas, x_m, y_m, angle + (np.pi if side < 0 else 0))
            along += rng.uniform(0.5, 1.6) * spacing_m
