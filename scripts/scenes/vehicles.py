"""Cars and ships."""

from __future__ import annotations

import numpy as np

from scenes.canvas import Canvas, Colour, Floats, Mask, Place

CARS: list[Colour] = [
    (0.85, 0.85, 0.86),
    (0.85, 0.85, 0.86),
    (0.10, 0.10, 0.11),
    (0.55, 0.56, 0.58),
    (0.58, 0.08, 0.08),
    (0.12, 0.22, 0.48),
    (0.72, 0.62, 0.16),
]
HULLS: list[Colour] = [(0.16, 0.17, 0.20), (0.48, 0.13, 0.10), (0.14, 0.22, 0.36), (0.82, 0.82, 0.80)]
DECKS: list[Colour] = [(0.47, 0.24, 0.18), (0.33, 0.40, 0.35), (0.55, 0.56, 0.56), (0.62, 0.50, 0.34)]
CARGO: list[Colour] = [(0.62, 0.30, 0.16), (0.22, 0.34, 0.50), (0.60, 0.60, 0.58), (0.24, 0.40, 0.28)]
WHITE: Colour = (0.88, 0.88, 0.87)


def draw_car(canvas: Canvas, x_m: float, y_m: float, angle: float) -> None:
    """Park a car or a van along `angle`, its front that way."""
    van = canvas.chance(0.12)
    length, width = (2.75, 1.02) if van else (canvas.rng.uniform(2.1, 2.4), 0.94)
    spot = canvas.around(x_m, y_m, angle, 3.2)
    if spot is None:
        return
    place, along, across = spot
    body = (np.abs(along / length) ** 6 + np.abs(across / width) ** 6) < 1
    front, back = along - (1.9 if van else 0.75), along + (9 if van else 1.35)
    glass = body & (np.abs(across) < 0.76) & ((np.abs(front) < 0.4) | (np.abs(back) < 0.3))
    canvas.paint(place, body, WHITE if van else canvas.pick(CARS), 0.01, canvas.label("car"))
    canvas.paint(place, glass, (0.10, 0.12, 0.14), 0.01)
    canvas.raise_to(place, body, 2.1 if van else 1.4)


def beam_of(length_m: float) -> float:
    """Return how wide a ship of that length is; boats are wider for their length."""
    return length_m * (0.17 if length_m > 25 else 0.3)


def draw_ship(canvas: Canvas, x_m: float, y_m: float, angle: float, length_m: float, speed: float = 0.0) -> None:
    """Launch a ship or a boat, its bow towards `angle`.

    Args:
        canvas: where to.
        x_m: of its middle.
        y_m: of its middle.
        angle: its course.
        length_m: over all; from 25 m on it carries cargo.
        speed: 0 (moored) to 1: how much foam follows it.
    """
    beam_m = beam_of(length_m)
    spot = canvas.around(x_m, y_m, angle, length_m * (2.6 if speed else 0.6) + 2)
    if spot is None:
        return
    place, along, across = spot
    if speed:
        _foam(canvas, place, along + np.float32(length_m / 2), np.abs(across), length_m, speed)
    taper = np.clip((length_m / 2 - along) / (0.34 * length_m), 0, 1) ** 0.6
    half: Floats = (beam_m / 2 * taper).astype(np.float32)
    hull = (np.abs(across) < half) & (along > -length_m / 2)
    label = canvas.label("ship")
    canvas.paint(place, hull, canvas.pick(HULLS if length_m > 25 else [WHITE, WHITE, HULLS[2]]), 0.02, label)
    canvas.raise_to(place, hull, 0.08 * length_m + 0.8)
    inner = hull & (np.abs(across) < half - 0.035 * length_m) & (along > -0.47 * length_m)
    canvas.paint(place, inner, canvas.pick(DECKS), 0.03, label)
    (_load if length_m > 25 else _cabin)(canvas, place, along, across, inner, length_m)


def _foam(canvas: Canvas, place: Place, ahead: Floats, side: Floats, length_m: float, speed: float) -> None:
    """Paint the wake: white water behind the stern, and two arms that open slowly."""
    beam_m = beam_of(length_m)
    behind, water = np.maximum(-ahead, 0), canvas.classes[place] == canvas.label("water").value
    fading = np.exp(-behind / (0.65 * length_m)) * (ahead < beam_m) * water
    churned = np.clip(1.2 + 0.5 * canvas.leaves[place], 0.2, 1.5)
    middle = np.exp(-((side / (beam_m * 0.35)) ** 2))
    arms = np.exp(-(((side - beam_m * 0.5 - 0.24 * behind) / (0.5 + 0.05 * behind)) ** 2))
    canvas.paint(place, np.clip((middle + 0.7 * arms) * fading * churned * speed, 0, 0.9), (0.80, 0.84, 0.85), 0.04)


def _load(canvas: Canvas, place: Place, along: Floats, across: Floats, inner: Mask, length_m: float) -> None:
    """Put the bridge near the stern and hatches or boxes in front of it."""
    hold = inner & (along > -0.26 * length_m) & (along < 0.32 * length_m)
    bay_m = length_m / 7
    cell = np.floor(along / bay_m).astype(int)
    for index in np.unique(cell[hold]):
        box = hold & (cell == index) & (along % bay_m > 0.12 * bay_m) & (np.abs(across) < 0.065 * length_m)
        canvas.paint(place, box, canvas.pick(CARGO), 0.03)
        canvas.height_m[place] += 1.5 * box
    bridge = inner & (np.abs(along + 0.36 * length_m) < 0.07 * length_m)
    canvas.paint(place, bridge, WHITE, 0.02)
    canvas.height_m[place] += 6 * bridge
    funnel = np.hypot(along + 0.38 * length_m, across) < 0.018 * length_m
    canvas.paint(place, funnel, (0.55, 0.15, 0.12))


def _cabin(canvas: Canvas, place: Place, along: Floats, across: Floats, inner: Mask, length_m: float) -> None:
    """Put a cabin with dark windows on a boat."""
    ahead = (along + 0.02 * length_m) / length_m
    cabin = inner & (np.abs(ahead) < 0.2)
    canvas.paint(place, cabin, WHITE, 0.02)
    canvas.height_m[place] += 0.9 * cabin
    canvas.paint(place, cabin & (np.abs(ahead - 0.14) < 0.05), (0.12, 0.16, 0.20))
