"""The part of a scene that is asked for: its extent and its mask polygon."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio import Affine
from rasterio.features import rasterize
from shapely.geometry.base import BaseGeometry

from rs_textseg_plugin.contract.errors import SceneError
from rs_textseg_plugin.contract.grid import Extent, PixelGrid, Window
from rs_textseg_plugin.contract.scene import Scene

_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class Region:
    """The pixels that are asked for.

    Attributes:
        window: smallest window around them, on the working grid.
        polygons: in pixel coordinates; a pixel counts when its centre lies in every one of them.
    """

    window: Window
    polygons: tuple[BaseGeometry, ...] = ()

    def inside(self, window: Window) -> NDArray[np.bool_]:
        """Return (height, width) bool: True where the pixel is asked for."""
        inside = np.zeros((window.height, window.width), bool)
        inside[window.intersection(self.window).relative_to(window).slices] = True
        for polygon in self.polygons:
            inside &= _burn(polygon, window)
        return inside


def asked_region(scene: Scene, grid: PixelGrid) -> Region:
    """Return the region of the working grid that a scene asks for.

    Raises:
        SceneError: the extent or the mask is empty, cannot be read, or lies outside the raster.
    """
    window, polygons = grid.window, []
    if scene.extent is not None:
        window = _extent_window(scene.extent, grid)
        if grid.transform.b or grid.transform.d:  # on a rotated grid the window is larger than the extent
            polygons.append(_to_pixels(_rectangle(scene.extent), grid))
    if scene.mask_wkb_hex:
        mask = _read_mask(scene.mask_wkb_hex)
        polygons.append(_to_pixels(mask, grid))
        window = window.intersection(_extent_window(Extent(*mask.bounds), grid, "mask"))
    region = Region(window, tuple(polygons))
    if not _holds_a_pixel(region):
        raise SceneError("The mask, or its part inside the extent, covers no pixel's centre: draw a larger one.")
    return region


def _extent_window(extent: Extent, grid: PixelGrid, word: str = "extent") -> Window:
    sides = (extent.xmin, extent.ymin, extent.xmax, extent.ymax)
    text = ", ".join(f"{side:.10g}" for side in sides)
    if not all(map(math.isfinite, sides)) or extent.xmin >= extent.xmax or extent.ymin >= extent.ymax:
        raise SceneError(f"The {word} ({text}) is empty: give xmin < xmax and ymin < ymax in the raster's CRS.")
    window = extent.window_on(grid)
    if window.is_empty:
        bounds = ", ".join(f"{side:.10g}" for side in _bounds(grid))
        raise SceneError(
            f"The {word} ({text}) lies outside the raster ({bounds}): both must be in the raster's CRS and overlap."
        )
    return window


def _bounds(grid: PixelGrid) -> tuple[float, float, float, float]:
    corners = [grid.transform.to_map(col, row) for col in (0, grid.width) for row in (0, grid.height)]
    xs, ys = zip(*corners)
    return min(xs), min(ys), max(xs), max(ys)


def _rectangle(extent: Extent) -> BaseGeometry:
    return shapely.box(extent.xmin, extent.ymin, extent.xmax, extent.ymax)


def _read_mask(wkb_hex: str) -> BaseGeometry:
    try:
        mask = shapely.make_valid(shapely.force_2d(shapely.from_wkb(bytes.fromhex(wkb_hex))))
    except (ValueError, shapely.errors.ShapelyError) as error:
        raise SceneError(f"The mask is no geometry in hexadecimal WKB ({error}): draw or choose it again.") from error
    if mask.is_empty or mask.area == 0:
        raise SceneError(f"The mask ({mask.geom_type}) has no area: give a polygon in the raster's CRS.")
    return mask


def _to_pixels(geometry: BaseGeometry, grid: PixelGrid) -> BaseGeometry:
    def convert(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack(grid.transform.to_pixel(points[:, 0], points[:, 1]), axis=1)  # type: ignore[arg-type]

    return shapely.transform(geometry, convert)


def _burn(polygon: BaseGeometry, window: Window) -> NDArray[np.bool_]:
    shape = (window.height, window.width)
    burnt: NDArray[np.uint8] = rasterize(
        [polygon], out_shape=shape, transform=Affine.translation(window.col, window.row), dtype="uint8"
    )
    return burnt.astype(bool)


def _holds_a_pixel(region: Region) -> bool:
    """Whether anything is asked for; looks at a few rows at a time, so that a large mask costs no memory."""
    window = region.window
    if window.is_empty or not region.polygons:
        return not window.is_empty
    for row in range(window.row, window.row_stop, _ROWS_AT_ONCE):
        height = min(_ROWS_AT_ONCE, window.row_stop - row)
        if region.inside(Window(window.col, row, window.width, height)).any():
            return True
    return False
