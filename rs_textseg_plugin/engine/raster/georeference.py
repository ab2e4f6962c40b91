"""Where a raster lies, and the grid that a scene is worked on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.io import DatasetReader

from rs_textseg_plugin.contract.errors import SceneError
from rs_textseg_plugin.contract.grid import PixelGrid, Transform
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.engine.raster.ground_resolution import ground_resolution_m, require_latitudes

_SQUARE_WITHIN = 0.10  # a pixel whose sides differ by less counts as square
# A wanted resolution this close to the raster's own, or to a whole multiple or part of it, is taken as that: pixels
# are then kept or averaged in whole groups, which is sharper, faster, and fits overviews.
_WHOLE_WITHIN = 0.01
MOST_TIMES_THE_PIXELS = 100  # that a working grid has of the raster's: ten times finer both ways adds no detail


@dataclass(frozen=True)
class WorkingGrid:
    """The grid that a scene is worked on.

    Attributes:
        grid: shares its first corner with the raster.
        scale_col, scale_row: columns and rows of the raster per working pixel; 1: the raster's own.
        notes: what was assumed, in words.
    """

    grid: PixelGrid
    scale_col: float
    scale_row: float
    notes: tuple[str, ...] = ()


def native_grid(dataset: DatasetReader, scene: Scene) -> tuple[PixelGrid, tuple[str, ...]]:
    """Return the raster's own grid, and what was assumed, in words.

    Raises:
        SceneError: only control points or RPCs, a degenerate transform, latitudes beyond a pole, or a CRS that is not
            understood or geocentric.
    """
    crs_wkt, notes = _crs_wkt(dataset, scene)
    transform = Transform(*dataset.transform[:6])
    if transform == Transform(1, 0, 0, 0, 1, 0):
        _refuse_unwarped(dataset)
        transform = Transform(1, 0, 0, 0, -1, 0)  # rows downwards, as QGIS shows such a raster
        notes = ("The raster is not georeferenced: a pixel is taken as one map unit.", *notes)
    numbers = (transform.a, transform.b, transform.c, transform.d, transform.e, transform.f)
    if transform.determinant == 0 or not all(map(math.isfinite, numbers)):
        raise SceneError(
            f"The geotransform {numbers} of {dataset.name} gives its pixels no area: georeference the raster again."
        )
    grid = PixelGrid(dataset.width, dataset.height, transform, crs_wkt)
    require_latitudes(grid)
    return grid, notes


def _crs_wkt(dataset: DatasetReader, scene: Scene) -> tuple[str, tuple[str, ...]]:
    if dataset.crs:
        return _wkt(dataset.crs), ()
    if not scene.crs_wkt:
        return "", ("The raster has no coordinate reference system: map units are taken as metres.",)
    try:
        crs = CRS.from_user_input(scene.crs_wkt)
    except CRSError as error:
        raise SceneError(
            f"The CRS given for {dataset.name} is not understood ({error}): give WKT or a code such as EPSG:32633."
        ) from error
    return _wkt(crs), ("The raster has no coordinate reference system: the one given with the scene is used.",)


def _wkt(crs: CRS) -> str:
    wkt: str = crs.to_wkt(version="WKT2_2019")
    return wkt


def _refuse_unwarped(dataset: DatasetReader) -> None:
    has_points = bool(dataset.gcps[0])
    if has_points or dataset.rpcs is not None:
        what = "ground control points" if has_points else "rational polynomial coefficients (RPC)"
        raise SceneError(f"{dataset.name} is placed by {what} only: warp it first, for example with gdalwarp.")


def working_grid(native: PixelGrid, wanted_m: float | None) -> WorkingGrid:
    """Return the grid to work on: the raster's own, or square pixels on the ground from the same first corner.

    Args:
        native: the raster's own grid.
        wanted_m: size of a working pixel on the ground in metres, kept to a hundredth; None: the raster's own, made
            square where its sides differ by more than a tenth.

    Raises:
        SceneError: the wanted size is no positive number, the raster's place is unknown to its CRS, or the grid would
            have more than `MOST_TIMES_THE_PIXELS` of the raster.
    """
    if wanted_m is not None and not 0 < wanted_m < math.inf:
        raise SceneError(f"The ground resolution {wanted_m!r} m cannot be used: give a positive number of metres.")
    col_m, row_m = ground_resolution_m(native)
    notes: tuple[str, ...] = ()
    target_m = wanted_m
    if target_m is None:
        target_m = min(col_m, row_m)
        if max(col_m, row_m) <= target_m * (1 + _SQUARE_WITHIN):
            return WorkingGrid(native, 1.0, 1.0)
        notes = (
            f"A pixel is {col_m:.3g} m by {row_m:.3g} m on the ground: "
            f"the raster is resampled to square pixels of {target_m:.3g} m.",
        )
    _require_few_pixels(native, target_m, (col_m, row_m), is_wanted=wanted_m is not None)
    scale_col, scale_row = _snapped(target_m / col_m), _snapped(target_m / row_m)
    return WorkingGrid(_scaled(native, scale_col, scale_row), scale_col, scale_row, notes)


def _require_few_pixels(native: PixelGrid, target_m: float, pixel_m: tuple[float, float], is_wanted: bool) -> None:
    """Refuse a grid that has far more pixels than the raster, by a wish or because the raster's are slivers."""
    col_m, row_m = pixel_m
    finest_m = math.sqrt(col_m) * math.sqrt(row_m) / math.sqrt(MOST_TIMES_THE_PIXELS)
    if target_m >= finest_m * (1 - _WHOLE_WITHIN):
        return
    too_many = (
        f"would have over {MOST_TIMES_THE_PIXELS} times the {native.width} x {native.height} pixels of the raster, "
        f"which are {col_m:.3g} m by {row_m:.3g} m on the ground"
    )
    if is_wanted:
        raise SceneError(f"A grid of {target_m:.3g} m {too_many}: ask for {finest_m:.3g} m or more.")
    raise SceneError(
        f"Square pixels of {target_m:.3g} m, the finer side, {too_many}: warp the raster to a CRS that keeps shapes "
        "in that place (near a pole a polar one), or set a resolution."
    )


def _snapped(scale: float) -> float:
    whole = float(round(scale)) if scale >= 1 else 1.0 / round(1.0 / scale)
    return whole if abs(scale - whole) <= _WHOLE_WITHIN * whole else scale


def _scaled(native: PixelGrid, scale_col: float, scale_row: float) -> PixelGrid:
    # A hair of tolerance: 100 / 0.1 must give 1000 pixels and not 1001.
    width, height = math.ceil(native.width / scale_col - 1e-6), math.ceil(native.height / scale_row - 1e-6)
    return PixelGrid(max(width, 1), max(height, 1), native.transform.scaled(scale_col, scale_row), native.crs_wkt)
