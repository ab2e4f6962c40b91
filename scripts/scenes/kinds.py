"""The kinds of scene: what they are made of, and in which order it is drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scenes.canvas import Canvas
from scenes.curves import Curve, Lot
from scenes.ground import lay_fields
from scenes.lots import USES
from scenes.plants import grow_forest, plant_alone
from scenes.roads import Street, drive, pave
from scenes.shores import QUAY_M, dig, launch


@dataclass(frozen=True)
class Kind:
    """A recipe for a scene.

    Attributes:
        covers: of the fields below everything else; one that is named twice is picked twice as often.
        field_m: above a width somewhere between these, a field is divided.
        waters: one is picked: river, lake, coast or none.
        street_m: distance between parallel streets.
        cross_m: distance between the streets across them.
        lots: how often a use is tried along the streets.
        inland: the uses that are tried away from the streets, each once for every one and a half hectares.
        wooded: the higher, the less forest (see `grow_forest`).
        car_m: mean distance between cars on the road.
    """

    covers: Sequence[str]
    field_m: tuple[float, float]
    waters: Sequence[str]
    street_m: float
    cross_m: float
    lots: Mapping[str, float]
    inland: Sequence[str]
    wooded: float
    car_m: float


KINDS: dict[str, Kind] = {
    "residential": Kind(
        ("grass", "grass", "grass", "grass", "bare soil"), (60, 120), ("none", "none", "lake", "river"), 74, 130,
        {"house": 7, "terrace": 2, "flats": 0.9, "park": 0.2, "pond": 0.3, "bath": 0.4, "car park": 0.4, "site": 0.3},
        ("park", "pond"), 1.0, 42,
    ),
    "rural": Kind(
        ("cropland", "cropland", "cropland", "grass", "grass", "bare soil"), (70, 150), ("river", "river", "lake"),
        260, 300, {"house": 5, "farm": 0.8, "solar field": 0.4, "pond": 0.3, "": 5}, ("solar field",), 0.45, 60,
    ),
    "harbour": Kind(
        ("grass", "grass", "bare soil"), (50, 110), ("coast",), 110, 160,
        {"hall": 3, "tanks": 4, "car park": 1.6, "flats": 0.6, "site": 0.6, "terrace": 0.6},
        ("tanks", "hall", "car park", "solar field"), 1.2, 45,
    ),
    "industrial": Kind(
        ("grass", "grass", "bare soil", "cropland"), (60, 130), ("none", "none", "lake", "river"), 128, 150,
        {"hall": 4, "tanks": 3, "car park": 1.4, "site": 0.8, "solar field": 1.4,
         "pond": 0.4, "park": 0.3},
        ("solar field", "tanks", "hall", "car park", "site"), 0.9, 38,
    ),
    "mixed": Kind(
        ("grass", "grass", "cropland", "cropland", "bare soil"), (60, 130), ("river", "lake", "coast", "none"),
        120, 170,
        {"house": 4, "terrace": 0.8, "flats": 0.8, "hall": 1, "tanks": 1.2, "car park": 0.9, "site": 0.5,
         "solar field": 0.8, "bath": 0.4, "pond": 0.3, "": 1.5},
        ("solar field", "tanks", "car park", "bath"), 0.6, 45,
    ),
}  # fmt: skip


def compose(canvas: Canvas, kind: Kind) -> None:
    """Draw everything on an empty canvas: the ground, water, roads, lots, plants, cars and ships."""
    heading = canvas.rng.uniform(0, math.pi)
    border_m = lay_fields(canvas, heading + canvas.rng.normal(0, 0.1), kind.covers, kind.field_m)
    shore = dig(canvas, kind.waters[canvas.rng.integers(len(kind.waters))], heading)
    streets = _lay_streets(canvas, kind, heading, shore.coast)
    road_m = pave(canvas, streets)
    _fill_streets(canvas, kind, streets)
    _fill_inland(canvas, kind, heading)
    free = ~canvas.taken & (shore.distance_m > 1) & (road_m > 1.5)
    forest = grow_forest(canvas, free & (road_m > 6) & (shore.distance_m > 3), kind.wooded)
    plant_alone(canvas, free & ~forest, border_m, shore.distance_m, road_m)
    drive(canvas, streets, kind.car_m)
    launch(canvas, shore)


def _lay_streets(canvas: Canvas, kind: Kind, heading: float, coast: Curve | None) -> list[Street]:
    """Lay parallel streets and others across them; in a harbour the first one follows the quay, and none crosses."""
    rng, half = canvas.rng, canvas.size_m / 2
    x_m, y_m = (float(value) for value in half + rng.uniform(-0.25, 0.25, 2) * canvas.size_m)
    first = Curve(x_m, y_m, heading, rng.uniform(0, 9), rng.uniform(400, 600), rng.uniform(0, 6))
    if coast is not None:
        first = coast.beside(QUAY_M + 7)
    count = math.ceil(1.5 * canvas.size_m / kind.street_m)
    rows = range(0 if coast is not None else -count, count + 1)
    streets = [Street(first.beside(row * kind.street_m), 4.6 if row == 0 else 3.4) for row in rows]
    if coast is None:
        count = math.ceil(1.5 * canvas.size_m / kind.cross_m)
        middle = rng.uniform(0, kind.cross_m)
        crosses = [first.at(middle + row * kind.cross_m) for row in range(-count, count + 1)]
        streets += [Street(Curve(x, y, angle + math.pi / 2), 3.2) for x, y, angle in crosses]
    return [street for street in streets if street.curve.passes(half, half, canvas.size_m * 0.75 + 20)]


def _fill_streets(canvas: Canvas, kind: Kind, streets: Sequence[Street]) -> None:
    """Go along both sides of every street, and use each stretch that is free."""
    for street in streets:
        for side in (-1, 1):
            along, reach = -canvas.size_m * 1.2, canvas.size_m * 1.2
            while along < reach:
                along += _use(canvas, kind, street, along, side)


def _use(canvas: Canvas, kind: Kind, street: Street, along_m: float, side: int) -> float:
    """Use the ground beside a street for something; return how far along the street the next lot may start."""
    weights = np.array(list(kind.lots.values()), float)
    name = list(kind.lots)[canvas.rng.choice(len(weights), p=weights / weights.sum())]
    if not name:
        return float(canvas.rng.uniform(15, 40))
    use = USES[name]
    width_m, depth_m = canvas.rng.uniform(*use.width_m), canvas.rng.uniform(*use.depth_m)
    setback_m = street.half_width_m + 2.0 + depth_m / 2
    x_m, y_m, angle = street.curve.at(along_m + width_m / 2, side * setback_m)
    lot = Lot(x_m, y_m, angle + (math.pi if side > 0 else 0), width_m, depth_m)
    if not lot.is_free(canvas):
        return 6.0
    use.draw(canvas, lot)
    lot.take(canvas)
    return width_m + 1.0


def _fill_inland(canvas: Canvas, kind: Kind, heading: float) -> None:
    """Try to find room for larger things away from the streets."""
    for _ in range(max(1, round(canvas.size_m**2 / 15_000))):
        for name in kind.inland:
            use = USES[name]
            size = canvas.rng.uniform(*use.width_m), canvas.rng.uniform(*use.depth_m)
            x_m, y_m = canvas.rng.uniform(0.05, 0.95, 2) * canvas.size_m
            lot = Lot(x_m, y_m, heading + canvas.rng.normal(0, 0.05), *size)
            if lot.is_free(canvas):
                use.draw(canvas, lot)
                lot.take(canvas)
