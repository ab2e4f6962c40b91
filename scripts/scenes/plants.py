"""Trees, forests and parks."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import label as label_regions

from scenes.canvas import WHOLE, Canvas, Colour, Floats, Mask
from scenes.curves import Lot
from scenes.ground import lot_cover, soften
from scenes.words import Label

GREENS: list[Colour] = [(0.30, 0.38, 0.20), (0.25, 0.34, 0.19), (0.35, 0.40, 0.21), (0.22, 0.30, 0.20)]
SMALLEST_FOREST_M2 = 350.0  # some twenty crowns: fewer are trees


def draw_crown(
    canvas: Canvas, x_m: float, y_m: float, radius_m: float, tone: float = 1.0, label: Label | None = None
) -> None:
    """Plant a tree or a bush; `label` is that of the forest that it belongs to, None: it stands alone."""
    spot = canvas.around(x_m, y_m, canvas.rng.uniform(0, 6), radius_m * 1.3)
    if spot is None:
        return
    place, along, across = spot
    turn = np.arctan2(across, along)
    edge = radius_m * (1 + 0.12 * np.sin(3 * turn) + 0.08 * np.sin(5 * turn + 1) + 0.06 * canvas.leaves[place])
    inside = 1 - (np.hypot(along, across) / edge) ** 2
    top_m = radius_m * (1.3 + 1.5 * np.sqrt(np.maximum(inside, 0))) + 0.35 * canvas.leaves[place]
    mask = (inside > 0) & (top_m > canvas.height_m[place])
    if mask.any():
        red, green, blue = canvas.pick(GREENS)
        canvas.paint(place, mask, (red * tone, green * tone, blue), 0.10, label or canvas.label("tree"))
        canvas.raise_to(place, mask, top_m)


def scatter(
    canvas: Canvas, density: Floats, spacing_m: float, radius_m: tuple[float, float], label: Label | None = None
) -> None:
    """Plant trees about `spacing_m` apart, each with the probability that `density` ``(n, n)`` has there."""
    steps = np.arange(0, canvas.size_m, spacing_m)
    for x_m, y_m in ((x, y) for y in steps for x in steps):
        x, y = (float(value + canvas.rng.uniform(0, spacing_m)) for value in (x_m, y_m))
        col, row = (min(int(value / canvas.pixel_m), canvas.size_px - 1) for value in (x, y))
        if canvas.chance(float(density[row, col])):
            draw_crown(canvas, x, y, canvas.rng.uniform(*radius_m), 1 + 0.15 * float(canvas.leaves[row, col]), label)


def grow_forest(canvas: Canvas, free: Mask, wooded: float) -> Mask:
    """Plant forests where the ground is free.

    Args:
        canvas: where to.
        free: ``(n, n)``, where trees may stand.
        wooded: the noise above which there is forest: 2 for hardly any, 0 for half of the free ground.

    Returns:
        Where there is forest now, ``(n, n)``.
    """
    forest = free & (canvas.noise(90, 600, 2) > wooded)
    regions, _ = label_regions(forest)
    sizes = np.bincount(regions.ravel()) * canvas.pixel_m**2
    forest &= sizes[regions] >= SMALLEST_FOREST_M2
    if forest.any():
        label = canvas.label("forest")
        canvas.paint(WHOLE, soften(forest, canvas, 1) * 0.9, (0.20, 0.24, 0.14), 0.1, label)
        scatter(canvas, forest * np.float32(0.95), 3.6, (1.8, 3.9), label)
    return forest


def plant_alone(canvas: Canvas, free: Mask, border_m: Floats, shore_m: Floats, road_m: Floats) -> None:
    """Plant single trees along field borders, shores and roads."""
    patches = canvas.noise(15, 90)
    scatter(canvas, (free & (shore_m > 2) & (shore_m < 9) & (patches > -0.5)) * np.float32(0.45), 7.0, (1.4, 3.4))
    scatter(canvas, (free & (border_m < 2) & (patches > 0.2)) * np.float32(0.8), 5.0, (1.0, 2.6))
    scatter(canvas, (free & (road_m > 1.6) & (road_m < 5) & (patches < 0.2)) * np.float32(0.6), 8.0, (1.8, 3.2))
    scatter(canvas, free * np.float32(0.12), 15.0, (1.5, 4.2))


def draw_park(canvas: Canvas, lot: Lot) -> None:
    """Sow a lawn and plant trees on it, apart from each other."""
    lot_cover(canvas, lot, "grass", soft_m=0.5)
    for u in np.arange(-lot.width_m / 2 + 5, lot.width_m / 2 - 4, 9):
        for v in np.arange(-lot.depth_m / 2 + 5, lot.depth_m / 2 - 4, 9):
            if canvas.chance(0.45):
                shift = canvas.rng.normal(0, 1.3, 2)
                draw_crown(canvas, *lot.at(float(u + shift[0]), float(v + shift[1])), canvas.rng.uniform(1.6, 3.8))
