"""Clicks that a person would make to have an object drawn, made from its mask.

Source: Sosa et al. 2026, the training targets of the generative branch, which follow the practice of interactive
segmentation. With G the object and P what is drawn from the clicks so far:

* The first click lies in G.
* Each further click lies where P and G differ, on the pixel that is farthest from where they agree; it says "inside"
  where something is missing and "beside" where something is too much.
* There are six.

What the description leaves open, and what is done here:

* The first click is chosen by the same rule, with nothing drawn: the pixel farthest from what is not G.
* The frame of the picture counts as agreement: SAM sees nothing beyond it, and a click on the last row says little.
* A pixel that was clicked counts as agreement too, so that a drawer that does not follow is not told the same again.
* Of pixels equally far the uppermost is taken, of these the leftmost.
* Where nothing is left to correct there are fewer clicks than six, and for an empty G there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

COUNT = 6

Mask = NDArray[np.bool_]
# Points (N, 2) float64, x and y in pixels, and (N,) bool whether each lies on the object; the mask that they describe.
Draw = Callable[[NDArray[np.float64], NDArray[np.bool_]], Mask]


@dataclass(frozen=True)
class Clicks:
    """Clicks in the order in which they were made.

    Attributes:
        points_px: ``(N, 2)`` float64, x and y of the centres of the pixels that were clicked: (0.5, 0.5) is the first.
        is_inside: ``(N,)`` bool, whether a click says that the object is there or that it is not.
        drawn: ``(H, W)`` bool, what was drawn after the last one.
    """

    points_px: NDArray[np.float64]
    is_inside: NDArray[np.bool_]
    drawn: Mask

    @property
    def inside(self) -> tuple[tuple[float, float], ...]:
        """Clicks on the object."""
        return tuple((float(x), float(y)) for x, y in self.points_px[self.is_inside])

    @property
    def outside(self) -> tuple[tuple[float, float], ...]:
        """Clicks beside it."""
        return tuple((float(x), float(y)) for x, y in self.points_px[~self.is_inside])


def synthesise(target: Mask, draw: Draw, count: int = COUNT) -> Clicks:
    """Return the clicks for an object.

    Args:
        target: ``(H, W)`` bool, the object.
        draw: SAM; called once after each click with all clicks so far.
        count: of clicks, at most.
    """
    drawn, clicked = np.zeros_like(target), np.zeros_like(target)
    points: list[tuple[float, float]] = []
    is_inside: list[bool] = []
    while len(points) < count:
        wrong = (drawn ^ target) & ~clicked
        if not wrong.any():
            break
        row, column = _deepest(wrong)
        clicked[row, column] = True
        points.append((column + 0.5, row + 0.5))
        is_inside.append(bool(target[row, column]))
        drawn = draw(np.array(points), np.array(is_inside))
    return Clicks(np.array(points, np.float64).reshape(-1, 2), np.array(is_inside, np.bool_), drawn)


def _deepest(region: Mask) -> tuple[int, int]:
    """Return row and column of the pixel that is farthest from what is not in the region."""
    depth: NDArray[np.float64] = distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)  # argmax takes the first of equals
    return int(row), int(column)
