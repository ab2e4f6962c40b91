"""How large pixels are on the ground, for any CRS, anywhere on the grid.

The map units of a CRS say little about the ground: EPSG:3857 is stretched by 2 at 60 degrees of latitude, degrees of
longitude shrink towards the poles, and some CRSs count in feet. So positions are turned into longitude and latitude
on the CRS's own datum, and small steps into metres with the ellipsoid's two radii of curvature.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import pyproj
from numpy.typing import ArrayLike, NDArray

from rs_textseg_plugin.contract.errors import SceneError
from rs_textseg_plugin.contract.grid import PixelGrid

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Earth:
    """What a CRS says about the ground.

    Attributes:
        to_lonlat: from map coordinates to longitude and latitude; None where the CRS is not tied to the Earth.
        map_unit_m: size of a map unit in metres where `to_lonlat` is None.
        radians_per_unit: of the longitudes and latitudes (some CRSs count in grads).
        semi_major_m, eccentricity_squared: of the ellipsoid.
        is_lonlat: whether the map coordinates are longitude and latitude.
    """

    to_lonlat: pyproj.Transformer | None
    map_unit_m: float = 1.0
    radians_per_unit: float = 1.0
    semi_major_m: float = 0.0
    eccentricity_squared: float = 0.0
    is_lonlat: bool = False


def pixel_metres(grid: PixelGrid, cols: ArrayLike, rows: ArrayLike) -> Floats:
    """Return how far one pixel step goes on the ground, at pixel positions.

    Args:
        grid: without a CRS its map units are taken as metres.
        cols: columns in pixel coordinates, any shape; flattened to N values.
        rows: rows, as many as columns.

    Returns:
        (N, 2, 2) float64 in metres: ``[n, 0]`` is east and ``[n, 1]`` is north; ``[n, :, 0]`` is one step to the next
        column and ``[n, :, 1]`` one step to the next row. NaN where the CRS has no such place.

    Raises:
        SceneError: the CRS cannot be understood.
    """
    positions = np.stack([np.asarray(cols, np.float64).ravel(), np.asarray(rows, np.float64).ravel()], axis=1)
    earth = _earth(grid.crs_wkt)
    if earth.to_lonlat is None:
        return np.broadcast_to(_map_steps(grid) * earth.map_unit_m, (len(positions), 2, 2)).copy()
    _, latitude = _lonlat(grid, earth, positions)
    radii = _radii_m(earth, latitude)
    metres = np.empty((len(positions), 2, 2))
    for axis, step in enumerate(np.eye(2)):
        longitude_after, latitude_after = _lonlat(grid, earth, positions + step)
        longitude_before, latitude_before = _lonlat(grid, earth, positions - step)
        # Across the antimeridian longitudes jump by a full turn.
        turn = (longitude_after - longitude_before + math.pi) % (2 * math.pi) - math.pi
        metres[:, 0, axis] = turn * radii[0] / 2
        metres[:, 1, axis] = (latitude_after - latitude_before) * radii[1] / 2
    return metres


def pixel_area_m2(grid: PixelGrid, cols: ArrayLike, rows: ArrayLike) -> Floats:
    """Return the area on the ground of a pixel at each position: (N,) float64 in square metres.

    Args and errors as in `pixel_metres`.
    """
    areas: Floats = np.abs(np.linalg.det(pixel_metres(grid, cols, rows)))
    return areas


def ground_resolution_m(grid: PixelGrid) -> tuple[float, float]:
    """Return the length on the ground of a column step and of a row step at the grid's centre, in metres.

    Raises:
        SceneError: the CRS cannot be understood, or has no such place.
    """
    steps = pixel_metres(grid, [grid.width / 2], [grid.height / 2])[0]
    col_m, row_m = np.hypot(steps[0], steps[1])
    if not (0 < col_m < math.inf and 0 < row_m < math.inf):
        x, y = grid.transform.to_map(grid.width / 2, grid.height / 2)
        raise SceneError(
            f"The raster's centre ({x:g}, {y:g}) is no place on Earth in its coordinate reference system: "
            "assign the right CRS to the raster."
        )
    return float(col_m), float(row_m)


def require_latitudes(grid: PixelGrid) -> None:
    """Check that a raster in degrees ends at the poles; by up to one pixel grids of the whole Earth go beyond.

    Raises:
        SceneError: it goes further, or the CRS cannot be understood.
    """
    earth = _earth(grid.crs_wkt)
    if not earth.is_lonlat:
        return
    corners = [grid.transform.to_map(col, row)[1] for col in (0, grid.width) for row in (0, grid.height)]
    pixel = abs(grid.transform.d) + abs(grid.transform.e)
    farthest = max(corners, key=abs)
    if abs(farthest) - pixel > math.pi / 2 / earth.radians_per_unit * (1 + 1e-9):
        raise SceneError(
            f"The raster reaches to {farthest:g} in latitude, beyond the pole: its coordinates are no longitudes and "
            "latitudes, or they are swapped, so assign the right CRS to the raster."
        )


@functools.lru_cache(maxsize=16)
def _earth(crs_wkt: str) -> _Earth:
    if not crs_wkt:
        return _Earth(None)
    try:
        whole = pyproj.CRS.from_user_input(crs_wkt)
        if whole.is_geocentric:
            raise SceneError(
                f"The coordinate reference system {whole.name[:80]!r} is geocentric, it counts from the Earth's centre "
                "and has no map: warp the raster to a projected one, for example with gdalwarp."
            )
        crs = whole.to_2d()
        geographic, ellipsoid = crs.geodetic_crs, crs.ellipsoid
        if geographic is None or ellipsoid is None:
            return _Earth(None, _unit_factor(crs))
        to_lonlat = pyproj.Transformer.from_crs(crs, geographic.to_2d(), always_xy=True)
    except pyproj.exceptions.ProjError as error:
        raise SceneError(
            f"The coordinate reference system {crs_wkt[:80]!r} is not understood ({error}): assign another one."
        ) from error
    return _Earth(
        to_lonlat,
        radians_per_unit=_unit_factor(geographic),
        semi_major_m=ellipsoid.semi_major_metre,
        is_lonlat=crs.is_geographic,
        eccentricity_squared=1.0 - (ellipsoid.semi_minor_metre / ellipsoid.semi_major_metre) ** 2,
    )


def _unit_factor(crs: pyproj.CRS) -> float:
    """Metres or radians per unit of the first axis."""
    return float(crs.axis_info[0].unit_conversion_factor) if crs.axis_info else 1.0


def _map_steps(grid: PixelGrid) -> Floats:
    return np.array([[grid.transform.a, grid.transform.b], [grid.transform.d, grid.transform.e]])


def _lonlat(grid: PixelGrid, earth: _Earth, positions: Floats) -> tuple[Floats, Floats]:
    """Longitude and latitude in radians of (N, 2) pixel positions; NaN where there is no such place."""
    x, y = (positions @ _map_steps(grid).T + (grid.transform.c, grid.transform.f)).T
    if earth.to_lonlat is not None:
        x, y = earth.to_lonlat.transform(x, y)
    lonlat = np.stack([x, y]) * earth.radians_per_unit
    lonlat[:, ~np.isfinite(lonlat).all(axis=0)] = np.nan
    return lonlat[0], lonlat[1]


def _radii_m(earth: _Earth, latitude: Floats) -> Floats:
    """(2, N): metres per radian of longitude, and of latitude."""
    squeeze = 1.0 - earth.eccentricity_squared * np.sin(latitude) ** 2
    east = earth.semi_major_m / np.sqrt(squeeze) * np.cos(latitude)
    north = earth.semi_major_m * (1.0 - earth.eccentricity_squared) / squeeze**1.5
    return np.stack([east, north])
