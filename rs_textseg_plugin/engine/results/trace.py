"""Label rasters become polygons: on pixel edges, valid, with holes; neighbours share their borders.

Coordinates are pixels of the working grid until the very end, so every vertex is a whole number and shared
borders are equal to the bit.
"""

from __future__ import annotations

import numpy as np
import rasterio.features
import shapely
from numpy.typing import NDArray
from scipy.ndimage import label as label_regions

from rs_textseg_plugin.contract.grid import Transform, Window

_OUTSIDE = -1


def trace(numbers: NDArray[np.int32], window: Window, tolerance_px: float) -> tuple[NDArray[np.int32], NDArray]:  # type: ignore[type-arg]
    """Trace the regions of equal, positive numbers.

    Args:
        numbers: ``(h, w)`` int32; 0 is nothing.
        window: where that block lies on the working grid; its frame is never moved by the simplification.
        tolerance_px: of the simplification, roughly the root of the largest area that a removed corner may cut
            off, in pixels; 0 keeps the pixel edges.

    Returns:
        The number of each polygon ``(n,)``, and the polygons in pixel coordinates of the working grid. A number
        whose pixels are connected over edges inside the block has one polygon.
    """
    # With a simplification, "nothing" is traced too: then all borders inside the block have two sides, and only
    # the frame has one, which is what keeps it in place.
    mask = None if tolerance_px > 0 else numbers != 0
    traced = list(rasterio.features.shapes(numbers, mask=mask, connectivity=4))
    values = np.array([int(value) for _, value in traced], np.int32)
    rings = [[np.asarray(ring, np.int64) for ring in shape["coordinates"]] for shape, _ in traced]
    if tolerance_px > 0 and rings:
        nodes = _junctions(numbers)
        rings = [[_with_junctions(ring, nodes) for ring in polygon] for polygon in rings]
    polygons = np.array([shapely.Polygon(outer, holes) for outer, *holes in rings], dtype=object)
    if tolerance_px > 0 and rings:
        polygons = shapely.coverage_simplify(polygons, tolerance_px, simplify_boundary=False)
    kept = values > 0
    shift = np.array([window.col, window.row], float)
    return values[kept], repaired(shapely.transform(polygons[kept], lambda xy: xy + shift))


def _junctions(numbers: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return ``(h + 1, w + 1)`` bool: pixel corners in which three or more borders meet, the frame included."""
    framed = np.pad(numbers, 1, constant_values=_OUTSIDE)
    upper_left, upper_right = framed[:-1, :-1], framed[:-1, 1:]
    lower_left, lower_right = framed[1:, :-1], framed[1:, 1:]
    borders = (upper_left != upper_right).astype(np.int8)
    borders += lower_left != lower_right
    borders += upper_left != lower_left
    borders += upper_right != lower_right
    junctions: NDArray[np.bool_] = borders >= 3
    return junctions


def _with_junctions(ring: NDArray[np.int64], nodes: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Insert the junctions that lie on a ring's edges: a coverage needs its borders equal vertex by vertex."""
    steps = np.diff(ring, axis=0)
    lengths = np.abs(steps).sum(axis=1)
    unit = np.repeat(np.sign(steps), lengths, axis=0)
    corners = np.zeros(len(unit) + 1, bool)
    corners[np.concatenate([[0], np.cumsum(lengths)])] = True
    path = np.concatenate([ring[:1], ring[0] + np.cumsum(unit, axis=0)])
    kept: NDArray[np.int64] = path[corners | nodes[path[:, 1], path[:, 0]]]
    return kept


def repaired(polygons: NDArray) -> NDArray:  # type: ignore[type-arg]
    """Return polygons ``(n,)``, the few invalid ones (a ring that touches itself in a corner) made valid."""
    invalid = ~shapely.is_valid(polygons)
    if invalid.any():
        polygons = polygons.copy()
        polygons[invalid] = shapely.make_valid(polygons[invalid], method="structure", keep_collapsed=False)
    return polygons


def join_pieces(pieces: list[shapely.Geometry]) -> shapely.Geometry:
    """Return one geometry of an object's pieces from neighbouring blocks, without the vertices of the cuts."""
    return shapely.simplify(shapely.union_all(pieces), 0)


def fill_holes(
    numbers: NDArray[np.int32], max_pixels: float, fillable: NDArray[np.bool_] | None = None
) -> NDArray[np.int32]:
    """Give holes in "nothing" of fewer than `max_pixels` pixels to the region around them.

    Args:
        numbers: ``(h, w)`` int32; 0 is nothing.
        max_pixels: holes of this size and larger stay.
        fillable: ``(h, w)`` bool; holes with a pixel outside of it stay (missing data is no hole). None: all are.

    Only holes that touch neither the block's frame nor a second region are filled.
    """
    holes, count = label_regions(numbers == 0)
    if max_pixels <= 0 or count == 0:
        return numbers
    sizes = np.bincount(holes.ravel(), minlength=count + 1)
    candidate = sizes < max_pixels
    candidate[0] = False
    for edge in (holes[0], holes[-1], holes[:, 0], holes[:, -1]):
        candidate[edge] = False
    if fillable is not None:
        candidate[holes[~fillable]] = False
    lowest, highest = _neighbour_range(numbers, holes, count)
    owner = np.where(candidate & (lowest == highest), lowest, 0)
    filled: NDArray[np.int32] = np.where(holes > 0, owner[holes], numbers).astype(np.int32)
    return filled


def _neighbour_range(
    numbers: NDArray[np.int32], holes: NDArray[np.int32], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the smallest and largest number that touches each hole over an edge."""
    lowest = np.full(count + 1, np.iinfo(np.int64).max)
    highest = np.zeros(count + 1, np.int64)
    whole, first, last = slice(None), slice(None, -1), slice(1, None)
    for a, b in (((whole, first), (whole, last)), ((first, whole), (last, whole))):
        for here, there in ((a, b), (b, a)):
            hole, number = holes[here], numbers[there]
            meets = (hole > 0) & (number > 0)
            np.minimum.at(lowest, hole[meets], number[meets])
            np.maximum.at(highest, hole[meets], number[meets])
    return lowest, highest


def to_map(polygons: NDArray, transform: Transform) -> NDArray:  # type: ignore[type-arg]
    """Return polygons ``(n,)``, given in pixels, in map coordinates."""

    def place(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = transform.to_map(pixels[:, 0], pixels[:, 1])  # type: ignore[arg-type]
        return np.stack([x, y], axis=1)

    return shapely.transform(polygons, place)
