"""From the numbers that a model gives for a place to pixels of the picture, and back; and a systematic error of them.

This is the only place where a `Convention` is converted. Nothing is rounded: x and y are real numbers, and (0, 0) is
the upper left corner of the upper left pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rs_textseg_plugin.engine.vlm.instance import Box, Instance, Point
from rs_textseg_plugin.engine.vlm.model import Convention

Size = tuple[int, int]
_GRID = 1000
_WILD_TIMES = 5.0  # an answer is wild that is so many times farther off than the rest are from their own fit
_WILD_PX = 3.0  # and at least this far; rounding to whole pixels is no reason to leave an answer out


def frame_size(convention: Convention, shown_px: Size) -> Size:
    """Return the numbers that stand for the right and the lower border of the picture."""
    return shown_px if convention is Convention.PIXELS else (_GRID, _GRID)


def to_picture(point: Point, convention: Convention, shown_px: Size, picture_px: Size) -> Point:
    """Return in the picture's own pixels what a model says of a place.

    Args:
        point: the two numbers in the model's order: x and y, or y and x.
        convention: what its numbers mean.
        shown_px: ``(width, height)`` of the picture as the model saw it; without effect for the grid.
        picture_px: ``(width, height)`` of the picture that it was asked about.
    """
    frame = frame_size(convention, shown_px)
    x, y = reversed(point) if convention.is_y_first else point
    return x * picture_px[0] / frame[0], y * picture_px[1] / frame[1]


def from_picture(point: Point, convention: Convention, shown_px: Size, picture_px: Size) -> Point:
    """Return how a model calls a place that is given in the picture's own pixels: `to_picture` backwards."""
    frame = frame_size(convention, shown_px)
    x, y = point[0] * frame[0] / picture_px[0], point[1] * frame[1] / picture_px[1]
    return (y, x) if convention.is_y_first else (x, y)


def within(point: Point, picture_px: Size) -> Point:
    """Return a point as it is, or moved to the centre of the nearest pixel where it is not on the picture."""
    x, y = (
        value if 0 <= value < length else min(max(value, 0.5), length - 0.5) for value, length in zip(point, picture_px)
    )
    return x, y


def clipped(box: Box, picture_px: Size) -> Box:
    """Return the part of a box that is on the picture; without width or height where there is none."""
    width, height = map(float, picture_px)
    left, right = (min(max(x, 0.0), width) for x in (box[0], box[2]))
    top, bottom = (min(max(y, 0.0), height) for y in (box[1], box[3]))
    return left, top, right, bottom


@dataclass(frozen=True)
class Drift:
    """The correction of a model that errs in the same way everywhere: its answers are scaled, then moved.

    Attributes:
        dx_px, dy_px: to the right and downwards, in pixels of the picture.
        scale_x, scale_y: about the upper left corner.
    """

    dx_px: float = 0.0
    dy_px: float = 0.0
    scale_x: float = 1.0
    scale_y: float = 1.0

    def apply(self, point: Point) -> Point:
        """Return where a point is that the model answered, both in pixels of the picture."""
        return point[0] * self.scale_x + self.dx_px, point[1] * self.scale_y + self.dy_px

    def correct(self, instance: Instance, picture_px: Size) -> Instance:
        """Return an instance with its box and its points corrected and kept on the picture.

        A box that would leave the picture altogether becomes None.
        """
        return replace(
            instance,
            box=None if instance.box is None else self._correct_box(instance.box, picture_px),
            inside=tuple(within(self.apply(point), picture_px) for point in instance.inside),
            outside=tuple(within(self.apply(point), picture_px) for point in instance.outside),
        )

    def _correct_box(self, box: Box, picture_px: Size) -> Box | None:
        left, top, right, bottom = clipped((*self.apply(box[:2]), *self.apply(box[2:])), picture_px)
        return (left, top, right, bottom) if right > left and bottom > top else None


def fit_drift(expected: Sequence[Point], answered: Sequence[Point]) -> Drift:
    """Return the correction that brings what was answered closest to what was expected, by least squares.

    Of fewer than three marks only the shift is fitted, of none nothing. From four marks on, one answer that is wild
    beside the others is left out.

    Args:
        expected: where the marks are, in pixels of the picture.
        answered: where the model says that they are, in the same order and pixels.
    """
    if not expected:
        return Drift()
    true, answered_px = np.array(expected, np.float64), np.array(answered, np.float64)
    kept = _without_wild(true, answered_px)
    return _fit(true[kept], answered_px[kept])


def _fit(true: NDArray[np.float64], answered_px: NDArray[np.float64]) -> Drift:
    (scale_x, dx_px), (scale_y, dy_px) = (_fit_axis(true[:, axis], answered_px[:, axis]) for axis in (0, 1))
    return Drift(dx_px, dy_px, scale_x, scale_y)


def _fit_axis(true: NDArray[np.float64], answered_px: NDArray[np.float64]) -> tuple[float, float]:
    """Return scale and shift; the scale is 1 where the marks do not tell it."""
    spread = answered_px - answered_px.mean()
    is_scale_known = len(true) >= 3 and float(np.abs(spread).max()) > 1.0
    scale = float(spread @ (true - true.mean()) / (spread @ spread)) if is_scale_known else 1.0
    return scale, float(true.mean() - scale * answered_px.mean())


def _without_wild(true: NDArray[np.float64], answered_px: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which marks to fit: all, or all but one that is far off what the others agree on."""
    everything = np.ones(len(true), bool)
    if len(true) < 4:
        return everything
    others = [np.arange(len(true)) != number for number in range(len(true))]
    errors = [_errors(_fit(true[kept], answered_px[kept]), true, answered_px) for kept in others]
    rests = [float(error[kept].max()) for error, kept in zip(errors, others)]
    wild = int(np.argmin(rests))
    is_wild = errors[wild][wild] > max(_WILD_PX, _WILD_TIMES * rests[wild])
    return others[wild] if is_wild else everything


def _errors(drift: Drift, true: NDArray[np.float64], answered_px: NDArray[np.float64]) -> NDArray[np.float64]:
    moved = answered_px * (drift.scale_x, drift.scale_y) + (drift.dx_px, drift.dy_px)
    return np.hypot(*(moved - true).T)
