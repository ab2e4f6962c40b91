"""Boxes around the objects of a crop, and which patch of a detector has to find which of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects
from skimage.measure import label as label_regions

from scenes.words import CLASSES, THINGS
from training.crops import Crop

_SMALLEST_PX = 20
_LEAST_SHARE = 0.3  # of a patch that an object has to cover
_CENTRAL = 0.2  # of the sides of a box, to both sides of its middle: patches there find it
_IS_THING = np.array([False, *(name in THINGS for name in CLASSES)])


@dataclass(frozen=True)
class Boxes:
    """The objects of a crop of ``S`` squared pixels with P patches.

    Attributes:
        corners: ``(N, 4)`` float32, left, top, right, bottom as shares of the crop's side.
        labels: ``(N,)`` int64, 0-based position in `CLASSES`.
        owner: ``(P,)`` int64, the object that a patch has to find; -1: none.
        covered: ``(P, N)`` bool, patches that an object covers enough of.
    """

    corners: NDArray[np.float32]
    labels: NDArray[np.int64]
    owner: NDArray[np.int64]
    covered: NDArray[np.bool_]


def boxes_of(crop: Crop, patch_px: int) -> Boxes:
    """Return the boxes around what is visible of each object.

    An object is found by the patches that it covers in the middle of its box, and the patch of the middle itself; where
    several objects have a patch, the smallest gets it.
    """
    regions, side = _regions(crop), len(crop.classes)
    places = find_objects(regions)
    areas = np.bincount(regions.ravel(), minlength=len(places) + 1)[1:]
    kept = np.flatnonzero(areas >= _SMALLEST_PX)
    corners = np.array([_corners(places[number]) for number in kept], np.float32).reshape(-1, 4)
    labels = np.array([crop.classes[places[n]][regions[places[n]] == n + 1][0] for n in kept], np.int64) - 1
    shares = _shares(regions, len(places), patch_px)[:, kept]
    owner = _owners(shares, corners, areas[kept], patch_px, side // patch_px)
    return Boxes(corners / side, labels, owner, shares >= _LEAST_SHARE)


def _regions(crop: Crop) -> NDArray[np.int64]:
    """Number the objects from 1: things as they are counted, of everything else each connected region."""
    objects, is_thing = np.where(crop.classes > 0, crop.objects, 0), _IS_THING[crop.classes]
    grounds = label_regions(np.where(is_thing, 0, objects), connectivity=1)
    numbers = np.where(is_thing, objects + grounds.max() + 1, grounds)
    numbers[crop.classes == 0] = 0
    present = np.unique(numbers[numbers > 0])
    return np.where(numbers > 0, np.searchsorted(present, numbers) + 1, 0)


def _corners(place: tuple[slice, ...]) -> tuple[int, int, int, int]:
    rows, columns = place
    return columns.start, rows.start, columns.stop, rows.stop


def _shares(regions: NDArray[np.int64], count: int, patch_px: int) -> NDArray[np.float32]:
    """Return the share of each patch that each object covers, ``(P, N)``."""
    side = len(regions) // patch_px
    patch = np.arange(len(regions)) // patch_px
    index = (patch[:, None] * side + patch) * (count + 1) + regions
    counts = np.bincount(index.ravel(), minlength=side * side * (count + 1)).reshape(-1, count + 1)
    shares: NDArray[np.float32] = counts[:, 1:].astype(np.float32) / patch_px**2
    return shares


def _owners(
    shares: NDArray[np.float32], corners: NDArray[np.float32], areas: NDArray[np.int64], patch_px: int, side: int
) -> NDArray[np.int64]:
    rows, columns = np.divmod(np.arange(side * side), side)
    middle = (corners[:, :2] + corners[:, 2:]) / 2
    places = (np.stack([columns, rows], axis=1) + 0.5) * patch_px
    off = np.abs(places[:, None] - middle)  # (P, N, 2)
    central = (off <= _CENTRAL * (corners[:, 2:] - corners[:, :2]) + patch_px / 2).all(axis=2)
    here = (off <= patch_px / 2).all(axis=2)
    mine = (central & (shares >= _LEAST_SHARE)) | (here & (shares > 0))
    costs = np.where(mine, areas, np.inf)
    return np.where(mine.any(axis=1), costs.argmin(axis=1), -1) if len(areas) else np.full(len(shares), -1)
