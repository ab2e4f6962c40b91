"""One sun lights the colours and heights of a canvas, and a camera takes the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from scenes.canvas import Canvas, Floats


@dataclass(frozen=True)
class Weather:
    """Where the sun stands (radians; the azimuth from north over east), and how clear the picture is.

    Attributes:
        haze: share of the light that comes from the air below the camera, 0..1.
        noise: deviation of the sensor's noise, of a range of 1.
        tint: gain of red, green and blue.
    """

    azimuth: float = math.radians(150)
    elevation: float = math.radians(46)
    haze: float = 0.07
    noise: float = 0.008
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)


def pick_weather(rng: np.random.Generator) -> Weather:
    """Return the weather of some day between spring and autumn, north of the tropics."""
    red, green, blue = (float(gain) for gain in rng.uniform(0.97, 1.03, 3))
    return Weather(
        azimuth=math.radians(rng.uniform(105, 255)),
        elevation=math.radians(rng.uniform(36, 60)),
        haze=rng.uniform(0.03, 0.14),
        noise=rng.uniform(0.004, 0.014),
        tint=(red, green, blue),
    )


def light(canvas: Canvas, weather: Weather = Weather()) -> Floats:
    """Return the colours ``(n, n, 3)`` under sun and sky, shadows included."""
    toward_x, toward_y = math.sin(weather.azimuth), -math.cos(weather.azimuth)
    steepness = math.tan(weather.elevation)
    sunlit = 1 - gaussian_filter(np.clip(_shade_m(canvas, toward_x, toward_y, steepness) / 1.2, 0, 1), 0.5)
    slope_y, slope_x = (np.clip(slope, -0.9, 0.9) for slope in np.gradient(canvas.height_m, canvas.pixel_m))
    facing = steepness - slope_x * toward_x - slope_y * toward_y
    facing = np.maximum(facing, 0) / np.sqrt(1 + slope_x**2 + slope_y**2) / steepness
    above_m = gaussian_filter(canvas.height_m, 2.5 / canvas.pixel_m) - canvas.height_m
    open_sky = np.clip(1 - 0.06 * np.maximum(above_m, 0), 0.5, 1)
    sun, sky = np.array([0.76, 0.73, 0.66], np.float32), np.array([0.29, 0.32, 0.38], np.float32)
    lit: Floats = canvas.colour * ((sunlit * facing)[..., None] * sun + open_sky[..., None] * sky)
    return lit


def _shade_m(canvas: Canvas, toward_x: float, toward_y: float, steepness: float) -> Floats:
    """Return by how many metres each pixel lies below the edge of a shadow; 0 in the sun."""
    climb_m = canvas.pixel_m * steepness
    reach_px = int(canvas.height_m.max() / climb_m) + 1
    padded = np.pad(canvas.height_m, reach_px, mode="edge")
    excess_m = np.zeros_like(canvas.height_m)
    for step in range(1, reach_px):
        row, col = reach_px + round(step * toward_y), reach_px + round(step * toward_x)
        blocker = padded[row : row + canvas.size_px, col : col + canvas.size_px]
        np.maximum(excess_m, blocker - np.float32(step * climb_m) - canvas.height_m, out=excess_m)
    return excess_m


def develop(canvas: Canvas, weather: Weather = Weather()) -> NDArray[np.uint8]:
    """Return what a camera makes of the lit scene, ``(n, n, 3)``, 0..255: slight blur, haze and noise."""
    picture = gaussian_filter(light(canvas, weather), (0.55, 0.55, 0))
    grey = picture.mean(axis=-1, keepdims=True)
    picture = (0.76 * picture + 0.24 * grey) ** np.float32(0.85) * np.array(weather.tint, np.float32)
    air = np.array([0.30, 0.37, 0.52], np.float32)
    picture = picture * (1 - weather.haze) + air * weather.haze
    picture += np.float32(weather.noise) * canvas.rng.standard_normal(picture.shape, dtype=np.float32)
    return (np.clip(picture, 0, 1) * 255).round().astype(np.uint8)
