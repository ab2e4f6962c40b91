"""Draws an aerial scene together with its truth."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label as label_regions

from scenes.camera import Weather, develop, pick_weather
from scenes.canvas import Canvas
from scenes.kinds import KINDS, compose
from scenes.words import CLASSES, UNLABELLED

SMALLEST_PX = 64


@dataclass(frozen=True)
class DrawnScene:
    """A picture and, for each of its pixels, what was drawn there last; a shadow is what lies below it.

    Attributes:
        rgb: ``(H, W, 3)`` uint8.
        classes: ``(H, W)`` uint8, 1-based position in `class_names`; 0 is unlabelled (paving, no data).
        objects: ``(H, W)`` int32, 1..n without gaps: things one by one, connected regions (over edges) of the
            rest; 0 where the class is 0. The parts of a thing that something else cuts in two share a number.
        class_names: in the order of their values.
        ground_resolution_m: side of a pixel.
        kind: key of `KINDS`.
        seed: that it was drawn from.
    """

    rgb: NDArray[np.uint8]
    classes: NDArray[np.uint8]
    objects: NDArray[np.int32]
    class_names: tuple[str, ...]
    ground_resolution_m: float
    kind: str
    seed: int


def draw(
    seed: int,
    size_px: int,
    ground_resolution_m: float = 0.25,
    kind: str | None = None,
    weather: Weather | None = None,
) -> DrawnScene:
    """Draw a scene; the same arguments draw the same one.

    Args:
        seed: another seed, another place; 0 or more.
        size_px: side of the square picture, at least 64.
        ground_resolution_m: side of a pixel; above 0.6 the lines on roads and the rows of crops blur.
        kind: residential, rural, harbour, industrial or mixed; None: one after the other, by the seed.
        weather: sun, haze and noise; None: some day's, by the seed.

    Raises:
        ValueError: the kind is unknown, or the size or resolution is out of range.
    """
    if size_px < SMALLEST_PX:
        raise ValueError(f"A scene of {size_px} pixels is too small for a landscape: choose at least {SMALLEST_PX}.")
    if not 0.05 <= ground_resolution_m <= 2:
        raise ValueError(f"Pixels of {ground_resolution_m} m show no cars or fill no scene: choose 0.05 to 2 m.")
    kind = kind if kind is not None else list(KINDS)[seed % len(KINDS)]
    if kind not in KINDS:
        raise ValueError(f"There is no kind of scene called {kind!r}: choose one of {', '.join(KINDS)}.")
    canvas = Canvas(size_px, seed, ground_resolution_m, stream=zlib.crc32(kind.encode()))
    compose(canvas, KINDS[kind])
    rgb = develop(canvas, weather or pick_weather(canvas.rng))
    objects = number_objects(canvas.classes, canvas.numbers)
    return DrawnScene(rgb, canvas.classes, objects, CLASSES, ground_resolution_m, kind, seed)


def number_objects(classes: NDArray[np.uint8], things: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return ``(H, W)`` int32, 1..n: each thing keeps to one number, everything else is numbered region by region."""
    objects: NDArray[np.int32] = things.astype(np.int32)
    for value in np.unique(classes[(things == 0) & (classes != UNLABELLED)]):
        regions, _ = label_regions((classes == value) & (things == 0))
        objects = np.where(regions > 0, regions + objects.max(), objects)
    found, compact = np.unique(objects, return_inverse=True)
    first = 0 if found[0] == 0 else 1
    return (compact.reshape(objects.shape) + first).astype(np.int32)
