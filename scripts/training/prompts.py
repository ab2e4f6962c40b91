"""Prompts for SAM with the masks that they should give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label as label_regions

from training.crops import Crop

CELL_PX = 2  # masks are compared at SAM's own resolution, a quarter of a patch of 8
_SMALLEST_PX = 14
_BY_OBJECT = 0.8  # share of the prompts for which first a class, then an object is drawn; the others take any pixel
_BOX_JITTER = 0.1  # of its sides
_REACH_PX = 20.0  # how far around a single point its mask matters most


@dataclass(frozen=True)
class Kind:
    """What describes an object.

    Attributes:
        points: points on it.
        box: whether a box around it goes with them.
    """

    points: int
    box: bool

    @property
    def is_clear(self) -> bool:
        """Whether it can mean but one object: a single point can mean a part or a whole."""
        return self.box or self.points > 1


POINT, POINTS, BOX = Kind(1, box=False), Kind(3, box=False), Kind(0, box=True)
POINT_IN_BOX, POINTS_IN_BOX = Kind(1, box=True), Kind(3, box=True)


@dataclass(frozen=True)
class Prompts:
    """Prompts of one kind over crops, B crops with N prompts each, in the crops' pixels.

    Attributes:
        kind: of all of them; P is its number of points.
        points_px: ``(B, N, P, 2)`` float32 x and y.
        boxes_px: ``(B, N, 2, 2)`` float32 x and y of two corners, also where the kind has no box.
        inside_px: ``(B, N, 2)`` int64 x and y, a pixel of the object.
        masks: ``(B, N, g, g)`` float32, share of each cell of `CELL_PX` that belongs to the object.
        near: ``(B, N, g, g)`` float32, how much each cell matters; over the object and outside each sums to 0.5.
        classes: ``(B, N)`` int64, 1-based; 0: unlabelled.
    """

    kind: Kind
    points_px: NDArray[np.float32]
    boxes_px: NDArray[np.float32]
    inside_px: NDArray[np.int64]
    masks: NDArray[np.float32]
    near: NDArray[np.float32]
    classes: NDArray[np.int64]


@dataclass(frozen=True)
class _One:
    points_px: NDArray[np.float32]
    box_px: NDArray[np.float32]
    inside_px: tuple[int, int]
    mask: NDArray[np.float32]
    near: NDArray[np.float32]
    label: int


def draw_prompts(crops: Sequence[Crop], count: int, kind: Kind, rng: np.random.Generator) -> Prompts:
    """Draw `count` prompts of a kind for each crop."""
    rows = [[_draw_one(crop, kind, rng) for _ in range(count)] for crop in crops]
    return Prompts(
        kind,
        np.array([[one.points_px for one in row] for row in rows], np.float32),
        np.array([[one.box_px for one in row] for row in rows], np.float32),
        np.array([[one.inside_px for one in row] for row in rows], np.int64),
        np.array([[one.mask for one in row] for row in rows], np.float32),
        np.array([[one.near for one in row] for row in rows], np.float32),
        np.array([[one.label for one in row] for row in rows], np.int64),
    )


def _draw_one(crop: Crop, kind: Kind, rng: np.random.Generator) -> _One:
    row, col = _pick_pixel(crop, rng)
    regions, _ = label_regions(crop.objects == crop.objects[row, col])
    inside = regions == regions[row, col]
    shares = _cells(inside.astype(np.float32))
    box = _jittered_box(inside, rng)
    points = _points(inside, (row, col), kind.points, rng)
    near = _nearness(shares, np.array([col + 0.5, row + 0.5], np.float32), _REACH_PX)
    if kind.is_clear:
        near = _nearness(shares, box.mean(axis=0), max(_REACH_PX / 2, 0.5 * float((box[1] - box[0]).max())))
    return _One(points, box, (col, row), shares, near, int(crop.classes[row, col]))


def _points(
    inside: NDArray[np.bool_], first: tuple[int, int], count: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return points on an object, ``(count, 2)`` x and y, the first at a given row and column."""
    others = rng.choice(np.flatnonzero(inside), max(count - 1, 0))
    places = np.stack([[first[0], *(others // len(inside))], [first[1], *(others % len(inside))]])
    return (places[::-1].T[:count] + 0.5).astype(np.float32)


def _pick_pixel(crop: Crop, rng: np.random.Generator) -> tuple[int, int]:
    """Return row and column of a pixel of some object that is not tiny."""
    side = len(crop.classes)
    if rng.random() < _BY_OBJECT:
        numbers, first, areas = np.unique(crop.objects, return_index=True, return_counts=True)
        labels = crop.classes.ravel()[first]
        usable = (areas >= _SMALLEST_PX) & (numbers > 0)
        if usable.any():
            label = rng.choice(np.unique(labels[usable]))
            chosen = rng.choice(numbers[usable & (labels == label)])
            places = np.flatnonzero(crop.objects == chosen)
            return divmod(int(rng.choice(places)), side)
    return int(rng.integers(side)), int(rng.integers(side))


def _jittered_box(inside: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float32]:
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    box = np.array([[columns[0], rows[0]], [columns[-1] + 1, rows[-1] + 1]], np.float32)
    shift = rng.normal(0, _BOX_JITTER, (2, 2)) * (box[1] - box[0])
    return (box + shift.clip(-12, 12)).clip(0, len(inside)).astype(np.float32)


def _cells(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    side = len(plane) // CELL_PX
    return plane.reshape(side, CELL_PX, side, CELL_PX).mean(axis=(1, 3))


def _nearness(shares: NDArray[np.float32], centre_px: NDArray[np.float32], reach_px: float) -> NDArray[np.float32]:
    """Weigh cells by a bell around the prompt on a low floor, half for the object and half for what is around it."""
    places = (np.arange(len(shares)) + 0.5) * CELL_PX
    squared = (places[None, :] - centre_px[0]) ** 2 + (places[:, None] - centre_px[1]) ** 2
    weights = np.exp(-squared / (2 * reach_px**2)) + 0.05
    inside, outside = weights * shares, weights * (1 - shares)
    return (0.5 * inside / max(inside.sum(), 1e-6) + 0.5 * outside / max(outside.sum(), 1e-6)).astype(np.float32)
