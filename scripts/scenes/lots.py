"""What stands on a lot: houses with gardens, halls, tanks, car parks, parks, panels on the ground, building sites."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from scenes.buildings import draw_panels, draw_roof, draw_tank
from scenes.canvas import Canvas, Colour
from scenes.curves import Lot
from scenes.ground import GRASSES, WATERS, lot_cover, wet
from scenes.plants import draw_crown, draw_park
from scenes.roads import draw_car_park
from scenes.vehicles import draw_car
from scenes.words import PAVED

QUARTER = math.pi / 2
CONCRETE: Colour = (0.58, 0.56, 0.53)
POOL: Colour = (0.25, 0.66, 0.74)


def draw_house(canvas: Canvas, lot: Lot) -> None:
    """A house in a garden, with a drive, often a car, sometimes a pool, trees, and a hedge along one side."""
    ground = lot.ground(canvas)
    if ground is None:
        return
    place, along, across, _ = ground
    rng = canvas.rng
    lawn = np.clip(lot.width_m / 2 - np.abs(along), 0, 1) * np.clip(lot.depth_m / 2 - np.abs(across), 0, 1)
    canvas.paint(place, lawn * 0.9, canvas.pick(GRASSES), 0.06, canvas.label("grass"))
    side = rng.choice([-6.5, 6.5])
    canvas.paint(place, (np.abs(along - side) < 1.7) & (np.abs(across - 8) < 9), CONCRETE, 0.05, PAVED)
    canvas.paint(place, (np.abs(along) < 5) & (np.abs(across + 7.5) < 2.2), (0.63, 0.58, 0.52), 0.05, PAVED)
    turn = lot.angle + rng.choice([0, QUARTER]) + rng.normal(0, 0.02)
    size, style = (rng.uniform(9.5, 12.5), rng.uniform(7.5, 9)), "hip" if canvas.chance(0.3) else "gable"
    draw_roof(canvas, *lot.at(-side * 0.2, 0), turn, size, style, panels=0.35)
    draw_roof(canvas, *lot.at(side, -1), lot.angle + QUARTER, (6, 3.4), "flat" if canvas.chance(0.7) else "gable")
    if canvas.chance(0.75):
        draw_car(canvas, *lot.at(side + rng.normal(0, 0.2), 7), lot.angle + QUARTER)
    if canvas.chance(0.4):
        draw_pool(canvas, lot.part(-side * 0.6, -10.8, rng.uniform(6.5, 9.5), rng.uniform(3.6, 4.8)))
    _plant_garden(canvas, lot)


def _plant_garden(canvas: Canvas, lot: Lot) -> None:
    rng = canvas.rng
    for _ in range(rng.integers(1, 5)):
        back_or_front = rng.choice([-1, -1, 1]) * rng.uniform(9, 13)
        draw_crown(canvas, *lot.at(rng.uniform(-10, 10), back_or_front), rng.uniform(1.1, 2.9))
    if canvas.chance(0.4):
        hedge = canvas.label("tree")
        for v in np.arange(-14, 10, 1.1):
            draw_crown(canvas, *lot.at(lot.width_m / 2 - 0.4, float(v)), rng.uniform(0.7, 0.95), label=hedge)


def draw_pool(canvas: Canvas, lot: Lot) -> None:
    """A pool, rectangular or with round ends, in a paved rim; bright lines of light cross its floor."""
    ground = lot.ground(canvas)
    if ground is None:
        return
    place, along, across, _ = ground
    half_length, half_width = lot.width_m / 2, lot.depth_m / 2
    edge_m = half_width - np.hypot(np.maximum(np.abs(along) - (half_length - half_width), 0), across)
    if canvas.chance(0.5):
        edge_m = np.minimum(half_length - np.abs(along), half_width - np.abs(across))
    canvas.paint(place, edge_m > 0, (0.76, 0.74, 0.70), 0.03, PAVED)
    water = np.clip((edge_m - 0.7) / 0.2, 0, 1)
    canvas.paint(place, water, canvas.pick([POOL]), 0.015, canvas.label("swimming pool"))
    canvas.shade(place, water, 1 + 0.05 * canvas.leaves[place])
    canvas.height_m[place] = np.where(edge_m > 0, 0, canvas.height_m[place])


def draw_terrace(canvas: Canvas, lot: Lot) -> None:
    """Houses wall to wall, each with a roof of its own colour, cars in front, gardens behind."""
    lot_cover(canvas, lot, "grass")
    ground = lot.ground(canvas)
    if ground is None:
        return
    place, _, across, inside = ground
    canvas.paint(place, inside & (across > lot.depth_m / 2 - 6.5), CONCRETE, 0.05, PAVED)
    rng, width, depth = canvas.rng, 6.2, float(canvas.rng.uniform(8.5, 10.5))
    count = int((lot.width_m - 3) / width)
    for u in (np.arange(count) - (count - 1) / 2) * width:
        step = float(rng.choice([0.0, 0.0, 0.6]))
        draw_roof(canvas, *lot.at(float(u), 1 + step), lot.angle, (width, depth), "gable", 0.25, step)
        if canvas.chance(0.65):
            draw_car(canvas, *lot.at(float(u), lot.depth_m / 2 - 3.4), lot.angle + QUARTER + rng.normal(0, 0.03))
        if canvas.chance(0.5):
            draw_crown(canvas, *lot.at(float(u), -lot.depth_m / 2 + rng.uniform(2, 5)), rng.uniform(1, 2.2))


def draw_flats(canvas: Canvas, lot: Lot) -> None:
    """A block of flats with a flat roof, trees around it, and a car park towards the street."""
    lot_cover(canvas, lot, "grass")
    draw_car_park(canvas, lot.part(0, lot.depth_m / 2 - 8.5, lot.width_m - 4, 16))
    size = (lot.width_m - canvas.rng.uniform(8, 16), canvas.rng.uniform(11, 14))
    draw_roof(canvas, *lot.at(0, -lot.depth_m / 2 + 12), lot.angle, size, "flat", 0.35, canvas.rng.uniform(6, 12))
    for u in np.arange(-lot.width_m / 2 + 3, lot.width_m / 2, 7):
        if canvas.chance(0.6):
            draw_crown(canvas, *lot.at(float(u), -lot.depth_m / 2 + 2.5), canvas.rng.uniform(1.5, 2.8))


def draw_hall(canvas: Canvas, lot: Lot) -> None:
    """A hall of sheet metal, its car park towards the street, and grass around it."""
    lot_cover(canvas, lot, "grass")
    draw_car_park(canvas, lot.part(0, lot.depth_m / 2 - 9, lot.width_m - 4, 17))
    size = (lot.width_m - canvas.rng.uniform(6, 14), lot.depth_m - 24)
    style = "flat" if canvas.chance(0.35) else "hall"
    draw_roof(canvas, *lot.at(0, -lot.depth_m / 2 + 2.5 + size[1] / 2), lot.angle, size, style, 0.6, 3.0)


def draw_tanks(canvas: Canvas, lot: Lot) -> None:
    """Rows of tanks on bare ground."""
    lot_cover(canvas, lot, "bare soil")
    radius = canvas.rng.uniform(4.5, 9.5)
    pitch = 2 * radius + canvas.rng.uniform(2.5, 6)
    across = max(1, int((lot.depth_m - 3) / pitch))
    along = max(1, int((lot.width_m - 3) / pitch))
    for v in (np.arange(across) - (across - 1) / 2) * pitch:
        for u in (np.arange(along) - (along - 1) / 2) * pitch:
            if canvas.chance(0.85):
                draw_tank(canvas, *lot.at(float(u), float(v)), radius * canvas.rng.choice([1, 1, 0.75]))


def draw_solar_field(canvas: Canvas, lot: Lot) -> None:
    """Long tables of panels on grass, all alike."""
    lot_cover(canvas, lot, "grass")
    spot = lot.spot(canvas)
    if spot is None:
        return
    place, along, across = spot
    depth, pitch = canvas.rng.uniform(3.4, 4.4), canvas.rng.uniform(6.5, 8.5)
    for v in np.arange(-lot.depth_m / 2 + 4, lot.depth_m / 2 - 3, pitch):
        beyond = across - np.float32(v)
        table = (np.abs(along) < lot.width_m / 2 - 3) & (np.abs(beyond) < depth / 2)
        if table.any():
            draw_panels(canvas, place, along, beyond, (lot.width_m - 6, depth), canvas.label("solar panel"))
            canvas.raise_to(place, table, (1.6 + 0.35 * beyond).astype(np.float32))


def draw_site(canvas: Canvas, lot: Lot) -> None:
    """A building site: bare soil with heaps."""
    lot_cover(canvas, lot, "bare soil", soft_m=1.0)
    for _ in range(canvas.rng.integers(1, 5)):
        x_m, y_m = lot.at(*(canvas.rng.uniform(-0.3, 0.3, 2) * (lot.width_m, lot.depth_m)))
        spot = canvas.around(x_m, y_m, canvas.rng.uniform(0, 6), 7)
        if spot is not None:
            place, along, across = spot
            heap = 2.2 * np.exp(-((along / 3.4) ** 2) - (across / 2.0) ** 2) * (1 + 0.06 * canvas.leaves[place])
            canvas.height_m[place] = np.maximum(canvas.height_m[place], heap)


def draw_pond(canvas: Canvas, lot: Lot) -> None:
    """A pond in a meadow."""
    draw_park(canvas, lot)
    ground = lot.ground(canvas)
    if ground is None:
        return
    place, along, across, _ = ground
    radius = 0.42 * min(lot.width_m, lot.depth_m)
    stretch = lot.width_m / min(lot.width_m, lot.depth_m)
    depth_m = radius * (1 + 0.15 * canvas.noise(25, 120, 1.6)[place]) - np.hypot(along / stretch, across)
    wet(canvas, place, depth_m.astype(np.float32), canvas.pick(WATERS))


def draw_bath(canvas: Canvas, lot: Lot) -> None:
    """A public bath: large pools on a lawn, and a building."""
    draw_park(canvas, lot)
    draw_pool(canvas, lot.part(-6, 3, 26, 12))
    draw_pool(canvas, lot.part(15, 3, 9, 9))
    draw_roof(canvas, *lot.at(0, -lot.depth_m / 2 + 6), lot.angle, (24, 8), "flat", panels=0.3)


def draw_farm(canvas: Canvas, lot: Lot) -> None:
    """Barns around a yard."""
    ground = lot.ground(canvas)
    if ground is None:
        return
    place, along, across, _ = ground
    edge_m = np.maximum(np.abs(along) - lot.width_m / 2, np.abs(across) - lot.depth_m / 2) + 2
    canvas.paint(place, np.clip(-(edge_m + 0.8 * canvas.leaves[place]) / 2, 0, 1), (0.56, 0.52, 0.46), 0.06, PAVED)
    rng, turned = canvas.rng, canvas.rng.choice([-1, 1])
    draw_roof(canvas, *lot.at(-6 * turned, -8), lot.angle, (rng.uniform(22, 32), rng.uniform(11, 14)), panels=0.6)
    if canvas.chance(0.8):
        draw_roof(canvas, *lot.at(17 * turned, 4), lot.angle + QUARTER, (20, rng.uniform(9, 12)), panels=0.3)
    if canvas.chance(0.7):
        draw_roof(canvas, *lot.at(-14 * turned, 9), lot.angle, (rng.uniform(10, 16), 9), "flat")
    if canvas.chance(0.5):
        draw_tank(canvas, *lot.at(2 * turned, 9), rng.uniform(2.6, 3.6))


class Use(NamedTuple):
    """What a lot can be used for: the function that fills it, and the least and the most width and depth in metres."""

    draw: Callable[[Canvas, Lot], None]
    width_m: tuple[float, float]
    depth_m: tuple[float, float]


USES = {
    "house": Use(draw_house, (21, 24), (30, 30)),
    "terrace": Use(draw_terrace, (34, 54), (30, 30)),
    "flats": Use(draw_flats, (38, 54), (40, 46)),
    "hall": Use(draw_hall, (44, 76), (46, 62)),
    "tanks": Use(draw_tanks, (36, 62), (30, 48)),
    "car park": Use(draw_car_park, (34, 60), (33, 49)),
    "park": Use(draw_park, (30, 60), (26, 40)),
    "solar field": Use(draw_solar_field, (44, 80), (36, 60)),
    "site": Use(draw_site, (34, 60), (30, 46)),
    "pond": Use(draw_pond, (40, 60), (30, 38)),
    "bath": Use(draw_bath, (50, 56), (34, 38)),
    "farm": Use(draw_farm, (52, 54), (38, 40)),
}
