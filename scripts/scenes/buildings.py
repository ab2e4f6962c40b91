"""Roofs, panels on roofs and on the ground, and storage tanks."""

from __future__ import annotations

import math

import numpy as np

from scenes.canvas import Canvas, Colour, Floats, Mask, Place
from scenes.words import Label

ROOFS: list[Colour] = [
    (0.55, 0.30, 0.22),
    (0.60, 0.36, 0.26),
    (0.44, 0.26, 0.21),
    (0.36, 0.34, 0.34),
    (0.48, 0.33, 0.25),
    (0.52, 0.42, 0.33),
]
FLAT_ROOFS: list[Colour] = [(0.62, 0.61, 0.58), (0.50, 0.49, 0.47), (0.74, 0.74, 0.72), (0.44, 0.42, 0.40)]
SHEETS: list[Colour] = [
    (0.72, 0.73, 0.73),
    (0.55, 0.58, 0.60),
    (0.48, 0.26, 0.21),
    (0.42, 0.50, 0.47),
    (0.60, 0.57, 0.50),
]
TANKS: list[Colour] = [(0.86, 0.86, 0.84), (0.78, 0.79, 0.79), (0.70, 0.68, 0.62), (0.62, 0.66, 0.66)]
STEEPNESS_DEG = {"gable": (28.0, 42.0), "hip": (22.0, 32.0), "hall": (4.0, 8.0), "flat": (0.0, 0.0)}
EAVES_M = {"gable": (3.0, 6.0), "hip": (3.0, 6.0), "hall": (6.0, 10.0), "flat": (3.0, 4.0)}


def draw_roof(
    canvas: Canvas,
    x_m: float,
    y_m: float,
    angle: float,
    size_m: tuple[float, float],
    style: str = "gable",
    panels: float = 0.0,
    storeys_m: float = 0.0,
) -> None:
    """Put up a building: a roof with its ridge along `angle`.

    Args:
        canvas: where to.
        x_m: of its middle.
        y_m: of its middle.
        angle: of its longer side.
        size_m: length along `angle`, and width.
        style: gable, hip, hall (wide, of sheet metal) or flat.
        panels: the probability of solar panels on it.
        storeys_m: height of further storeys.
    """
    spot = canvas.around(x_m, y_m, angle, math.hypot(*size_m) / 2 + 0.5)
    if spot is None:
        return
    place, along, across = spot
    half_length, half_width = size_m[0] / 2, size_m[1] / 2
    mask = (np.abs(along) <= half_length) & (np.abs(across) <= half_width)
    rise = math.tan(math.radians(canvas.rng.uniform(*STEEPNESS_DEG[style])))
    inward = half_width - np.abs(across)
    if style == "hip":
        inward = np.minimum(inward, half_length - np.abs(along))
    colours = {"flat": FLAT_ROOFS, "hall": SHEETS}.get(style, ROOFS)
    canvas.paint(place, mask, canvas.pick(colours), 0.04, canvas.label("building"))
    eaves_m = canvas.rng.uniform(*EAVES_M[style]) + storeys_m
    canvas.raise_to(place, mask, (eaves_m + rise * inward).astype(np.float32))
    _finish_roof(canvas, place, along, across, mask, size_m, style)
    if canvas.chance(panels):
        _lay_panels(canvas, place, along, across, size_m, style)


def _finish_roof(
    canvas: Canvas, place: Place, along: Floats, across: Floats, mask: Mask, size_m: tuple[float, float], style: str
) -> None:
    """Give a roof what its style has: rows of tiles and a chimney, ribs and skylights, or a parapet and machines."""
    half_length, half_width = size_m[0] / 2, size_m[1] / 2
    if style == "flat":
        canvas.height_m[place] += 0.7 * (
            mask & (np.maximum(np.abs(along) - half_length, np.abs(across) - half_width) > -0.5)
        )
        for u, v in canvas.rng.uniform(-0.7, 0.7, (int(size_m[0] * size_m[1] / 90), 2)) * (half_length, half_width):
            box = mask & (np.abs(along - u) < canvas.rng.uniform(0.5, 1.4)) & (np.abs(across - v) < 0.8)
            canvas.paint(place, box, (0.72, 0.72, 0.72), 0.03)
            canvas.height_m[place] += 1.3 * box
    elif style == "hall":
        canvas.shade(place, mask, 1 + 0.04 * np.sin(along * np.float32(2 * math.pi / 1.5)))
        strips = mask & (np.abs(along % 9 - 4.5) < 0.6) & (np.abs(np.abs(across) - half_width / 2) < half_width * 0.3)
        canvas.paint(place, strips, (0.80, 0.83, 0.84), 0.02)
        canvas.paint(place, mask & (np.abs(across) < 0.25), (0.80, 0.80, 0.79), 0.02)
    else:
        canvas.shade(place, mask, 1 + 0.05 * np.sin(across * np.float32(2 * math.pi / 0.7)))
        chimney = mask & (np.abs(along - half_length * 0.4) < 0.5) & (np.abs(across + 0.8) < 0.4) & (half_width > 3)
        canvas.paint(place, chimney, (0.40, 0.30, 0.27))
        canvas.height_m[place] += 1.2 * chimney


def _lay_panels(
    canvas: Canvas, place: Place, along: Floats, across: Floats, size_m: tuple[float, float], style: str
) -> None:
    """Cover most of one side of a roof with panels; of a flat one, with rows."""
    half_length, half_width = size_m[0] / 2, size_m[1] / 2
    long = half_length * (0.55 if style == "hip" else canvas.rng.uniform(0.6, 0.85))
    if style == "flat":
        for v in np.arange(-half_width + 2.5, half_width - 2, 3.2):
            draw_panels(canvas, place, along, across - np.float32(v), (2 * long, 1.9), canvas.label("solar panel"))
        return
    inset = 1.0 if style == "hall" else 0.6
    middle = (half_width * 0.5) * canvas.rng.choice([-1, 1])
    size = (2 * long, max(half_width - 2 * inset, 1.0))
    draw_panels(canvas, place, along, across - np.float32(middle), size, canvas.label("solar panel"))


def draw_panels(
    canvas: Canvas, place: Place, along: Floats, across: Floats, size_m: tuple[float, float], label: Label
) -> None:
    """Mount one array of panels around the middle of the given coordinates: dark blue cells in pale frames."""
    mask = (np.abs(along) < size_m[0] / 2) & (np.abs(across) < size_m[1] / 2)
    cells = mask & (along % 1.75 > 0.27) & (across % 1.25 > 0.27)
    canvas.paint(place, mask, (0.36, 0.38, 0.43), 0.02, label)
    canvas.paint(place, cells, (0.06, 0.10, 0.24), 0.03)


def draw_tank(canvas: Canvas, x_m: float, y_m: float, radius_m: float) -> None:
    """Put up a round tank with a cone for a roof, or with a roof that floats below its rim."""
    spot = canvas.around(x_m, y_m, canvas.rng.uniform(0, 6), radius_m + 1)
    if spot is None:
        return
    place, along, across = spot
    from_middle, turn = np.hypot(along, across), np.arctan2(across, along)
    mask, top_m = from_middle < radius_m, canvas.rng.uniform(0.7, 1.1) * min(radius_m, 9) + 3
    colour = canvas.pick(TANKS)
    canvas.paint(place, mask, colour, 0.015, canvas.label("storage tank"))
    inner = from_middle < radius_m - 0.8
    if canvas.chance(0.4):
        canvas.raise_to(place, mask, top_m)
        canvas.raise_to(place, inner, top_m * 0.65)
        canvas.paint(place, inner, (colour[0] * 0.75, colour[1] * 0.74, colour[2] * 0.72), 0.03)
    else:
        canvas.raise_to(place, mask, (top_m + 0.22 * (radius_m - from_middle)).astype(np.float32))
        canvas.shade(
            place, mask & (np.abs(turn % (math.pi / 6) - math.pi / 12) * from_middle < 0.13), np.full_like(turn, 0.85)
        )
        canvas.paint(place, from_middle < 0.6, (0.45, 0.45, 0.45))
    canvas.shade(place, mask & ~inner & (from_middle < radius_m - 0.3), np.full_like(turn, 0.8))
    stair = mask & (np.abs(turn) < 0.35) & ~inner
    canvas.paint(place, stair, (0.40, 0.40, 0.38))
