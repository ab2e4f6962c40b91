"""What an aerial picture is painted on: colours and heights, one sun, and a camera."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Floats = NDArray[np.float32]
Colour = tuple[float, float, float]
Place = tuple[slice, slice]

PIXEL_M = 0.25
SUN_AZIMUTH, SUN_ELEVATION = math.radians(150), math.radians(46)


class Canvas:
    """A colour map ``(n, n, 3)``, 0..1, and a height map ``(n, n)`` in metres above the ground; x east, y south."""

    def __init__(self, size_px: int, seed: int) -> None:
        self.size_px, self.size_m = size_px, size_px * PIXEL_M
        self.rng = np.random.default_rng(seed)
        self.colour: Floats = np.zeros((size_px, size_px, 3), np.float32)
        self.height_m: Floats = np.zeros((size_px, size_px), np.float32)
        self.taken = np.zeros((size_px, size_px), bool)  # gardens and yards, where nothing grows by itself
        self.y_m, self.x_m = np.mgrid[:size_px, :size_px].astype(np.float32) * np.float32(PIXEL_M)
        self.leaves = self.noise(0.6, 3, 0.6)

    def noise(self, finest_m: float, coarsest_m: float, slope: float = 1.2) -> Floats:
        """Return noise ``(n, n)`` of mean 0 and deviation 1 between two wavelengths; a steeper slope is smoother."""
        frequency = np.hypot(
            *np.meshgrid(np.fft.rfftfreq(self.size_px, PIXEL_M), np.fft.fftfreq(self.size_px, PIXEL_M))
        )
        band = (frequency >= 1 / coarsest_m) & (frequency <= 1 / min(finest_m, self.size_m))
        white = np.fft.rfft2(self.rng.standard_normal((self.size_px, self.size_px)))
        field = np.fft.irfft2(white * np.where(band, np.maximum(frequency, 1e-6) ** -slope, 0), s=self.height_m.shape)
        return (field / field.std()).astype(np.float32)

    def around(self, x_m: float, y_m: float, angle: float, reach_m: float) -> tuple[Place, Floats, Floats] | None:
        """Return the pixels around a point and their coordinates along and across `angle`; None outside the picture."""
        starts = [max(0, int((value - reach_m) / PIXEL_M)) for value in (y_m, x_m)]
        stops = [min(self.size_px, int((value + reach_m) / PIXEL_M) + 1) for value in (y_m, x_m)]
        if starts[0] >= stops[0] or starts[1] >= stops[1]:
            return None
        place = (slice(starts[0], stops[0]), slice(starts[1], stops[1]))
        dx, dy = self.x_m[place] - x_m, self.y_m[place] - y_m
        cos, sin = math.cos(angle), math.sin(angle)
        return place, dx * cos + dy * sin, dy * cos - dx * sin

    def paint(self, place: Place, mask: NDArray[np.bool_] | Floats, colour: Colour, grain: float = 0.03) -> None:
        """Mix a colour into the pixels of `place` by `mask` (0..1), with a grain of its own."""
        alpha = np.asarray(mask, np.float32)[..., None]
        grains = 1 + grain * self.rng.standard_normal(alpha.shape).astype(np.float32)
        self.colour[place] = self.colour[place] * (1 - alpha) + np.asarray(colour, np.float32) * grains * alpha

    def raise_to(self, place: Place, mask: NDArray[np.bool_], height_m: Floats | float) -> None:
        """Set the height where the mask is true."""
        self.height_m[place] = np.where(mask, height_m, self.height_m[place])

    def pick(self, colours: list[Colour]) -> Colour:
        """Return one of the colours, a little lighter or darker."""
        factor = self.rng.uniform(0.88, 1.1)
        red, green, blue = colours[self.rng.integers(len(colours))]
        return red * factor, green * factor, blue * factor


WHOLE: Place = (slice(None), slice(None))


def light(canvas: Canvas) -> Floats:
    """Return the colours under sun and sky."""
    toward_x, toward_y = math.sin(SUN_AZIMUTH), -math.cos(SUN_AZIMUTH)
    climb_m, reach_px = PIXEL_M * math.tan(SUN_ELEVATION), int(canvas.height_m.max() / PIXEL_M)
    padded = np.pad(canvas.height_m, reach_px, mode="edge")
    excess_m = np.zeros_like(canvas.height_m)
    for step in range(1, reach_px):
        row, col = reach_px + round(step * toward_y), reach_px + round(step * toward_x)
        blocker = padded[row : row + canvas.size_px, col : col + canvas.size_px] - step * climb_m
        excess_m = np.maximum(excess_m, blocker - canvas.height_m)
    sunlit = 1 - gaussian_filter(np.clip(excess_m / 1.2, 0, 1), 0.5)
    slope_y, slope_x = (np.clip(slope, -0.9, 0.9) for slope in np.gradient(canvas.height_m, PIXEL_M))
    facing = math.tan(SUN_ELEVATION) - slope_x * toward_x - slope_y * toward_y
    facing = np.maximum(facing, 0) / np.sqrt(1 + slope_x**2 + slope_y**2) / math.tan(SUN_ELEVATION)
    open_sky = np.clip(1 - 0.06 * np.maximum(gaussian_filter(canvas.height_m, 10) - canvas.height_m, 0), 0.5, 1)
    sun, sky = np.array([0.76, 0.73, 0.66], np.float32), np.array([0.29, 0.32, 0.38], np.float32)
    lit: Floats = canvas.colour * ((sunlit * facing)[..., None] * sun + open_sky[..., None] * sky)
    return lit


def develop(canvas: Canvas) -> NDArray[np.uint8]:
    """Return what a camera makes of the lit scene: slight blur, haze and noise, 0..255."""
    picture = gaussian_filter(light(canvas), (0.55, 0.55, 0))
    grey = picture.mean(axis=-1, keepdims=True)
    picture = (0.72 * picture + 0.28 * grey) ** 0.85 * 0.93 + np.array([0.02, 0.026, 0.038], np.float32)
    picture += 0.008 * canvas.rng.standard_normal(picture.shape)
    return (np.clip(picture, 0, 1) * 255).round().astype(np.uint8)
