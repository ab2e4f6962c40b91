"""Gentle curves that roads, rivers and coasts follow, and the lots beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from scenes.canvas import Canvas, Floats, Mask, Place


@dataclass(frozen=True)
class Curve:
    """A wave along a straight line through a point; metres and radians (0: to the east, a quarter turn: south)."""

    x_m: float
    y_m: float
    angle: float
    bend_m: float = 0.0
    period_m: float = 400.0
    phase: float = 0.0

    def locate(self, canvas: Canvas) -> tuple[Floats, Floats]:
        """Return two maps ``(n, n)``: the distance along the curve, and from it (positive: to the right)."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        dx, dy = canvas.x_m - np.float32(self.x_m), canvas.y_m - np.float32(self.y_m)
        along, across = dx * np.float32(cos) + dy * np.float32(sin), dy * np.float32(cos) - dx * np.float32(sin)
        if self.bend_m == 0:
            return along, across
        turn = along * np.float32(2 * math.pi / self.period_m) + np.float32(self.phase)
        lean = np.float32(self.bend_m * 2 * math.pi / self.period_m) * np.cos(turn)
        return along, (across - np.float32(self.bend_m) * np.sin(turn)) / np.sqrt(1 + lean**2)

    def at(self, along_m: float, side_m: float = 0.0) -> tuple[float, float, float]:
        """Return the point beside the curve (positive: to the right) and the curve's direction there."""
        turn = 2 * math.pi * along_m / self.period_m + self.phase
        lean = math.atan(self.bend_m * 2 * math.pi / self.period_m * math.cos(turn))
        along, across = along_m - side_m * math.sin(lean), self.bend_m * math.sin(turn) + side_m * math.cos(lean)
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        return self.x_m + along * cos - across * sin, self.y_m + along * sin + across * cos, self.angle + lean

    def passes(self, x_m: float, y_m: float, radius_m: float) -> bool:
        """Whether the line below the wave comes within a radius of a point."""
        across = (y_m - self.y_m) * math.cos(self.angle) - (x_m - self.x_m) * math.sin(self.angle)
        return abs(across) < radius_m

    def beside(self, distance_m: float) -> Curve:
        """Return the same curve, moved to the right."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        return replace(self, x_m=self.x_m - distance_m * sin, y_m=self.y_m + distance_m * cos)


@dataclass(frozen=True)
class Lot:
    """A rectangle of ground; seen from its middle, the street lies in the direction of `angle` + 90 degrees."""

    x_m: float
    y_m: float
    angle: float
    width_m: float
    depth_m: float

    def at(self, along_m: float, across_m: float) -> tuple[float, float]:
        """Return a point of the lot."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        return self.x_m + along_m * cos - across_m * sin, self.y_m + along_m * sin + across_m * cos

    def part(self, along_m: float, across_m: float, width_m: float, depth_m: float) -> Lot:
        """Return a smaller lot within this one, around a point of it."""
        return Lot(*self.at(along_m, across_m), self.angle, width_m, depth_m)

    def spot(self, canvas: Canvas) -> tuple[Place, Floats, Floats] | None:
        """Return its pixels and their coordinates along and across; None outside the picture."""
        return canvas.around(self.x_m, self.y_m, self.angle, math.hypot(self.width_m, self.depth_m) / 2 + 1)

    def ground(self, canvas: Canvas) -> tuple[Place, Floats, Floats, Mask] | None:
        """Return the same as `spot`, and which of these pixels lie in the lot; None if none does."""
        spot = self.spot(canvas)
        if spot is None:
            return None
        place, along, across = spot
        inside = (np.abs(along) < self.width_m / 2) & (np.abs(across) < self.depth_m / 2)
        return (place, along, across, inside) if inside.any() else None

    def is_free(self, canvas: Canvas) -> bool:
        """Whether a part of the lot is in the picture, and nothing is built there yet."""
        ground = self.ground(canvas)
        return ground is not None and not (canvas.taken[ground[0]] & ground[3]).any()

    def take(self, canvas: Canvas) -> None:
        """Keep others off."""
        ground = self.ground(canvas)
        if ground is not None:
            canvas.taken[ground[0]] |= ground[3]
