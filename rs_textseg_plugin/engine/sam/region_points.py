"""One point inside each region of a label map, as a prompt for a model that draws what is at a point."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, find_objects, label

_EIGHT_NEIGHBOURS = np.ones((3, 3), bool)


def region_points(
    labels: NDArray[np.int64], valid: NDArray[np.bool_], min_px: int, max_points: int
) -> NDArray[np.float64]:
    """Return the innermost pixel of each region, the largest regions first.

    A region is made of pixels of one class that touch by a side or a corner. Its innermost pixel is the one that is
    farthest from all pixels of another class, of no class and of no data, and from the map's border.

    Args:
        labels: ``(H, W)`` class index per pixel; below 0: none.
        valid: ``(H, W)`` bool, pixels that hold data.
        min_px: regions of fewer pixels give no point.
        max_points: at most so many points; the smaller regions give none.

    Returns:
        ``(N, 2)`` float64, x and y of the pixels' centres.
    """
    regions, count = _number_regions(np.where(valid, labels, -1))
    sizes = np.bincount(regions.ravel(), minlength=count + 1)[1:]
    largest_first = np.argsort(-sizes, kind="stable")
    chosen = largest_first[sizes[largest_first] >= min_px][:max_points]
    places = find_objects(regions)
    points = [_innermost(regions, int(index) + 1, places[index]) for index in chosen]
    return np.array(points, np.float64).reshape(-1, 2)


def _number_regions(labels: NDArray[np.int64]) -> tuple[NDArray[np.int32], int]:
    """Return the number of the region that each pixel belongs to, 0 for none, and the largest number."""
    regions, count = np.zeros(labels.shape, np.int32), 0
    for class_index in np.unique(labels[labels >= 0]):
        found, more = label(labels == class_index, structure=_EIGHT_NEIGHBOURS)
        regions += np.where(found > 0, found + count, 0).astype(np.int32)
        count += more
    return regions, count


def _innermost(regions: NDArray[np.int32], number: int, place: tuple[slice, slice]) -> tuple[float, float]:
    rows, columns = place
    depth = distance_transform_edt(np.pad(regions[place] == number, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return columns.start + int(column) + 0.5, rows.start + int(row) + 0.5
