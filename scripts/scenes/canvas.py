"""What a scene is painted on: colours, heights and the truth, pixel by pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from scenes.words import CLASSES, THINGS, Label

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
Colour = tuple[float, float, float]
Place = tuple[slice, slice]

WHOLE: Place = (slice(None), slice(None))


class Canvas:
    """Maps of ``(n, n)`` pixels; x runs east and y south, in metres from the upper left corner.

    Attributes:
        colour: ``(n, n, 3)`` float32, 0..1, before any light falls on it.
        height_m: above the ground.
        classes: uint8, 1-based position in `CLASSES`; 0 is unlabelled.
        numbers: int32, the number of the thing; 0 where there is none.
        taken: where nothing else is built and nothing grows by itself.
    """

    def __init__(self, size_px: int, seed: int, pixel_m: float = 0.25, stream: int = 0) -> None:
        self.size_px, self.pixel_m, self.size_m = size_px, pixel_m, size_px * pixel_m
        self.rng = np.random.default_rng((seed, stream))
        self.colour: Floats = np.zeros((size_px, size_px, 3), np.float32)
        self.height_m: Floats = np.zeros((size_px, size_px), np.float32)
        self.classes = np.zeros((size_px, size_px), np.uint8)
        self.numbers = np.zeros((size_px, size_px), np.int32)
        self.taken: Mask = np.zeros((size_px, size_px), bool)
        self.y_m, self.x_m = (np.mgrid[:size_px, :size_px].astype(np.float32) + np.float32(0.5)) * np.float32(pixel_m)
        self._last_number = 0
        self._fields: dict[tuple[float, float, float], Floats] = {}
        self.leaves = self.noise(0.6, 3, 0.6)

    def noise(self, finest_m: float, coarsest_m: float, slope: float = 1.2) -> Floats:
        """Return noise ``(n, n)`` of mean 0 and deviation 1 between two wavelengths; a steeper slope is smoother.

        A field is made once and then shifted: it has no edges, so every shift of it is as good as a new one.
        """
        key = (finest_m, coarsest_m, slope)
        if key not in self._fields:
            self._fields[key] = self._make_noise(*key)
        shift_y, shift_x = self.rng.integers(self.size_px, size=2)
        return np.roll(self._fields[key], (shift_y, shift_x), (0, 1))

    def _make_noise(self, finest_m: float, coarsest_m: float, slope: float) -> Floats:
        finest_m = min(max(finest_m, 2 * self.pixel_m), self.size_m)
        columns, rows = fft.rfftfreq(self.size_px, self.pixel_m), fft.fftfreq(self.size_px, self.pixel_m)
        frequency = np.hypot(*np.meshgrid(columns, rows)).astype(np.float32)
        band = (frequency >= 1 / coarsest_m) & (frequency <= 1.001 / finest_m) & (frequency > 0)
        gain = np.where(band, np.maximum(frequency, 1e-6) ** -slope, 0).astype(np.float32)
        white = fft.rfft2(self.rng.standard_normal((self.size_px, self.size_px), dtype=np.float32))
        field = fft.irfft2(white * gain, s=self.height_m.shape)
        return (field / field.std()).astype(np.float32)

    def label(self, word: str) -> Label:
        """Return the label of a class; a thing gets the next number."""
        if word not in THINGS:
            return Label(CLASSES.index(word) + 1, 0)
        self._last_number += 1
        return Label(CLASSES.index(word) + 1, self._last_number)

    def around(self, x_m: float, y_m: float, angle: float, reach_m: float) -> tuple[Place, Floats, Floats] | None:
        """Return the pixels around a point and their coordinates along and across `angle`; None outside the picture."""
        starts = [max(0, int((value - reach_m) / self.pixel_m)) for value in (y_m, x_m)]
        stops = [min(self.size_px, int((value + reach_m) / self.pixel_m) + 1) for value in (y_m, x_m)]
        if starts[0] >= stops[0] or starts[1] >= stops[1]:
            return None
        place = (slice(starts[0], stops[0]), slice(starts[1], stops[1]))
        dx, dy = self.x_m[place] - np.float32(x_m), self.y_m[place] - np.float32(y_m)
        cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
        return place, dx * cos + dy * sin, dy * cos - dx * sin

    def paint(
        self, place: Place, mask: Mask | Floats, colour: Colour, grain: float = 0.03, label: Label | None = None
    ) -> None:
        """Mix a colour into the pixels of `place`, and write the truth where more than half of it shows.

        Args:
            place: the rows and columns.
            mask: the share of the colour in each of these pixels, 0..1.
            colour: red, green and blue, 0..1.
            grain: deviation of the colour from pixel to pixel, as a factor.
            label: what these pixels are from now on; None: what they were.
        """
        alpha = np.asarray(mask, np.float32)[..., None]
        grains = 1 + np.float32(grain) * self.rng.standard_normal(alpha.shape, dtype=np.float32)
        self.colour[place] += (np.asarray(colour, np.float32) * grains - self.colour[place]) * alpha
        if label is not None:
            covered = np.asarray(mask, np.float32) > 0.5
            self.classes[place][covered] = label.value
            self.numbers[place][covered] = label.number

    def shade(self, place: Place, mask: Mask | Floats, factor: Floats) -> None:
        """Multiply the colours where the mask is true."""
        self.colour[place] *= np.where(np.asarray(mask, np.float32) > 0.5, factor, 1)[..., None]

    def raise_to(self, place: Place, mask: Mask, height_m: Floats | float) -> None:
        """Set the height where the mask is true."""
        self.height_m[place] = np.where(mask, height_m, self.height_m[place])

    def pick(self, colours: Sequence[Colour]) -> Colour:
        """Return one of the colours, a little lighter or darker."""
        factor = self.rng.uniform(0.88, 1.1)
        red, green, blue = colours[self.rng.integers(len(colours))]
        return red * factor, green * factor, blue * factor

    def chance(self, probability: float) -> bool:
        """Return true that often."""
        return bool(self.rng.random() < probability)

    def class_at(self, x_m: float, y_m: float) -> str:
        """Return the class of the pixel at a point; empty outside the picture and where it has none."""
        col, row = math.floor(x_m / self.pixel_m), math.floor(y_m / self.pixel_m)
        if not (0 <= col < self.size_px and 0 <= row < self.size_px):
            return ""
        return ("", *CLASSES)[self.classes[row, col]]
