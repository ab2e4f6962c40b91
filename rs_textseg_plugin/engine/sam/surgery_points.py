"""From a heat map to points for SAM: the published rule, and one set of points for each connected region."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, find_objects, label

from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.engine.answers.resize import resize_part
from rs_textseg_plugin.engine.sam.prompts import PointSet

_EIGHT_NEIGHBOURS = np.ones((3, 3), bool)
_MOST_POINTS = 3  # of a region on it, and as many beside it
_SMALLEST_MARGIN_PX = 8  # around a region, where points beside it are looked for


def published_points(
    heat: NDArray[np.float32], tile: tuple[int, int], threshold: float, down_sample: int
) -> PointSet | None:
    """Return the points of CLIP Surgery's ``similarity_map_to_points``, or None for a map without any difference.

    The map is made `down_sample` times smaller and brought to 0..1. The n hottest cells are points on the object and
    the n coldest points beside it, n being the number of cells at or above `threshold`, at most half of all. All
    objects of a class share that one set, and a class that is absent gets one too.

    Args:
        heat: ``(rows, columns)`` on patches.
        tile: ``(height, width)`` of the tile in pixels.
        threshold: 0..1.
        down_sample: at least 1.
    """
    rows, columns = (max(1, side // down_sample) for side in heat.shape)
    # The bilinear resize of torch, which does not smooth: it takes the cells around each new centre.
    smaller = resize_part(heat[None], (rows, columns), Window(0, 0, columns, rows))[0].ravel()
    spread = smaller.max() - smaller.min()
    if spread <= 0:
        return None
    unit = (smaller - smaller.min()) / spread
    count = min(int((unit >= threshold).sum()), len(unit) // 2)
    if count == 0:
        return None
    ranked = np.argsort(unit, kind="stable")
    chosen = np.concatenate([ranked[-count:], ranked[:count]])
    height, width = tile
    x = np.minimum((chosen % columns + 0.5) * (width / columns), width - 1).astype(np.int64)
    y = np.minimum((chosen // columns + 0.5) * (height / rows), height - 1).astype(np.int64)
    return PointSet(np.stack([x, y], axis=1).astype(np.float64), np.arange(2 * count) < count)


def region_point_sets(
    is_class: NDArray[np.bool_],
    probability: NDArray[np.float32],
    valid: NDArray[np.bool_],
    min_px: int,
    max_regions: int,
) -> list[PointSet]:
    """Return one set of points for each connected region of a class, the largest regions first.

    On a region lie up to three points, each as deep inside as possible and away from the others; beside it up to as
    many, where the class is least probable nearby.

    Args:
        is_class: ``(H, W)`` bool, pixels of the class; they touch by a side or a corner.
        probability: ``(H, W)`` of the class.
        valid: ``(H, W)`` bool, pixels that hold data; no point lies elsewhere.
        min_px: regions of fewer pixels give no set.
        max_regions: at most so many sets.
    """
    regions, count = label(is_class & valid, structure=_EIGHT_NEIGHBOURS)
    sizes = np.bincount(regions.ravel(), minlength=count + 1)[1:]
    largest_first = np.argsort(-sizes, kind="stable")
    chosen = largest_first[sizes[largest_first] >= min_px][:max_regions]
    places = find_objects(regions)
    beside = valid & ~is_class
    return [_points_of(regions, int(number) + 1, probability, beside, places[number]) for number in chosen]


def _points_of(
    regions: NDArray[np.int32],
    number: int,
    probability: NDArray[np.float32],
    beside: NDArray[np.bool_],
    place: tuple[slice, slice],
) -> PointSet:
    near = _grown(place, regions.shape)
    region = regions[near] == number
    # Outside of the tile is outside of the region, so that a point keeps its distance from the tile's border too.
    depth = distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    deepest = float(depth.max())
    inside = _apart(np.where(depth >= deepest / 2, depth, 0), _MOST_POINTS, 2 * deepest)
    away = distance_transform_edt(~region)
    is_beside = beside[near] & (away > max(2.0, deepest / 2))
    outside = _apart(np.where(is_beside, 1 - probability[near], 0), len(inside), 2 * deepest)
    cells = np.array([*inside, *outside], np.float64)
    corner = (near[0].start, near[1].start)
    points = (cells + corner + 0.5)[:, ::-1]
    return PointSet(points, np.arange(len(points)) < len(inside))


def _grown(place: tuple[slice, slice], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return a region's bounding box, grown by half of its longer side and cut at the tile's border."""
    longer = max(side.stop - side.start for side in place)
    margin = max(longer // 2, _SMALLEST_MARGIN_PX)
    rows, columns = (
        slice(max(side.start - margin, 0), min(side.stop + margin, length)) for side, length in zip(place, shape)
    )
    return rows, columns


def _apart(values: NDArray[np.float64], count: int, distance_px: float) -> list[tuple[int, int]]:
    """Return the pixels (row, column) of the highest values above 0, none nearer to another than that."""
    values = values.copy()
    chosen: list[tuple[int, int]] = []
    rows, columns = np.ogrid[: values.shape[0], : values.shape[1]]
    while len(chosen) < count and values.max(initial=0) > 0:
        row, column = (int(i) for i in np.unravel_index(int(values.argmax()), values.shape))
        chosen.append((row, column))
        values[(rows - row) ** 2 + (columns - column) ** 2 < distance_px**2] = 0
    return chosen
