"""Rivers, lakes and harbours, and the ships on them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from scenes.canvas import WHOLE, Canvas, Floats
from scenes.curves import Curve, Lot
from scenes.ground import WATERS, dig_lake, dig_river, wet
from scenes.vehicles import beam_of, draw_ship
from scenes.words import CLASSES, PAVED

FAR_M = 999.0
QUAY_M = 13.0
PIER_M, PIER_HALF_WIDTH_M, PIER_SPACING_M = 62.0, 1.8, 82.0
WATER = CLASSES.index("water") + 1


@dataclass(frozen=True)
class Shore:
    """What water there is.

    Attributes:
        distance_m: ``(n, n)`` from the shore, negative in the water; `FAR_M` where there is none.
        coast: the line of the quay, the sea to its left; None without a harbour.
        piers_m: where along the quay the piers begin.
    """

    distance_m: Floats
    coast: Curve | None = None
    piers_m: tuple[float, ...] = ()


def dig(canvas: Canvas, water: str, heading: float) -> Shore:
    """Dig a river, a lake, a coast or nothing (none); a river runs across `heading`, a coast along it."""
    rng = canvas.rng
    margin = 0.35 if water == "coast" else 0.2
    x_m, y_m = (float(value) for value in rng.uniform(margin, 1 - margin, 2) * canvas.size_m)
    if water == "coast":
        return _build_harbour(canvas, Curve(x_m, y_m, heading + math.pi * int(rng.integers(2))))
    if water == "river":
        course = heading + rng.uniform(0.6, 2.4)
        curve = Curve(x_m, y_m, course, rng.uniform(6, 16), rng.uniform(200, 360), rng.uniform(0, 6))
        return Shore(dig_river(canvas, curve, rng.uniform(6, 13)))
    if water == "lake":
        return Shore(dig_lake(canvas, x_m, y_m, rng.uniform(22, 46)))
    return Shore(np.full_like(canvas.x_m, FAR_M))


def _build_harbour(canvas: Canvas, coast: Curve) -> Shore:
    """Flood what lies to the left of a line, pave a strip to its right, and build piers."""
    along, across = coast.locate(canvas)
    quay = (across > -0.5) & (across < QUAY_M)
    canvas.paint(WHOLE, quay, (0.60, 0.58, 0.55), 0.04, PAVED)
    canvas.shade(WHOLE, quay & ((along % 6 < 0.3) | (across % 6 < 0.3)), np.full_like(along, 0.88))
    wet(canvas, WHOLE, -across, canvas.pick(WATERS))
    first = canvas.rng.uniform(0, PIER_SPACING_M)
    piers = tuple(
        float(start) for start in np.arange(-canvas.size_m * 1.5, canvas.size_m * 1.5, PIER_SPACING_M) + first
    )
    for start in piers:
        pier = (np.abs(along - start) < PIER_HALF_WIDTH_M) & (across < 0) & (across > -PIER_M)
        canvas.paint(WHOLE, pier, (0.55, 0.51, 0.46), 0.04, PAVED)
        canvas.raise_to(WHOLE, pier, 1.2)
    canvas.raise_to(WHOLE, quay, 1.2)
    canvas.taken |= across < QUAY_M + 1
    return Shore(across, coast, piers)


def launch(canvas: Canvas, shore: Shore) -> None:
    """Moor ships along the quay and boats at the piers, and let others sail where the water is deep enough."""
    if shore.coast is not None:
        _moor_at_piers(canvas, shore.coast, shore.piers_m)
        _moor_at_quay(canvas, shore.coast)
    depth_m, lengths_m = (10.0, (9, 34)) if shore.coast is not None else (3.5, (7, 12))
    rows, cols = np.nonzero((canvas.classes == WATER) & (shore.distance_m < -depth_m))
    tries = math.ceil(len(rows) * canvas.pixel_m**2 / 10_000 * 4)
    for index in canvas.rng.integers(max(len(rows), 1), size=tries):
        x_m, y_m = float((cols[index] + 0.5) * canvas.pixel_m), float((rows[index] + 0.5) * canvas.pixel_m)
        speed = float(canvas.rng.choice([0.0, 0.7, 1.0]))
        _launch_one(canvas, (x_m, y_m, canvas.rng.uniform(0, 2 * math.pi)), canvas.rng.uniform(*lengths_m), speed)


def _moor_at_quay(canvas: Canvas, coast: Curve) -> None:
    """Moor ships one after the other along the quay, some of them two abreast."""
    along, reach = -canvas.size_m * 1.5, canvas.size_m * 1.5
    while along < reach:
        length = float(canvas.rng.uniform(28, 62) if canvas.chance(0.55) else canvas.rng.uniform(9, 16))
        for row in range(2 if canvas.chance(0.2) else 1):
            x_m, y_m, angle = coast.at(along + length / 2, -0.9 - (row + 0.5) * (beam_of(length) + 0.6))
            _launch_one(canvas, (x_m, y_m, angle + math.pi * int(canvas.rng.integers(2))), length)
        along += length + canvas.rng.uniform(2, 14)


def _moor_at_piers(canvas: Canvas, coast: Curve, piers_m: tuple[float, ...]) -> None:
    """Moor boats side by side along both sides of the piers."""
    for start in piers_m:
        for side in (-1, 1):
            out = 14.0 + canvas.rng.uniform(0, 6)
            while out < PIER_M - 3:
                length = float(canvas.rng.uniform(7, 14))
                x_m, y_m, angle = coast.at(start + side * (PIER_HALF_WIDTH_M + 0.7 + length / 2), -out)
                if canvas.chance(0.75):
                    _launch_one(canvas, (x_m, y_m, angle + math.pi * int(canvas.rng.integers(2))), length)
                out += beam_of(length) + canvas.rng.uniform(0.6, 2.5)


def _launch_one(canvas: Canvas, pose: tuple[float, float, float], length_m: float, speed: float = 0.0) -> None:
    """Launch a ship (its middle in metres, its course in radians) if there is nothing but water below it."""
    ground = Lot(*pose, length_m + 1, beam_of(length_m) + 0.4).ground(canvas)
    if ground is not None and (canvas.classes[ground[0]][ground[3]] == WATER).all():
        draw_ship(canvas, *pose, length_m, speed)
