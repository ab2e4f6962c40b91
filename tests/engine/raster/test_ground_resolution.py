"""Ground distances against pyproj's geodesics, which use another method."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest

from rs_textseg_plugin.contract.errors import SceneError
from rs_textseg_plugin.contract.grid import PixelGrid, Transform
from rs_textseg_plugin.engine.raster.ground_resolution import (
    ground_resolution_m,
    pixel_area_m2,
    pixel_metres,
    require_latitudes,
)

# CRS, longitude and latitude of the grid's centre in degrees, pixel size in map units
PLACES = {
    "world Mercator at the equator": ("EPSG:3395", 10.0, 0.0, 10.0),
    "web Mercator at 60 degrees": ("EPSG:3857", 25.0, 60.0, 10.0),
    "world Mercator in the south": ("EPSG:3395", 121.0, -45.0, 10.0),
    "UTM": ("EPSG:32633", 15.2, 47.0, 10.0),
    "UTM in the south": ("EPSG:32733", 17.5, -33.0, 10.0),
    "UTM next to the antimeridian": ("EPSG:32660", 179.9999, 52.0, 10.0),
    "degrees": ("EPSG:4326", 8.0, 47.0, 1e-4),
    "degrees across the antimeridian": ("EPSG:4326", 180.0, -17.0, 1e-4),
    "US survey feet": ("EPSG:2263", -73.9, 40.7, 30.0),
    "grads, from Paris": ("EPSG:4807", 2.0, 46.0, 1e-4),
    "Lambert on a datum of grads": ("EPSG:27572", 2.0, 46.0, 10.0),
    "polar": ("EPSG:3413", -30.0, 80.0, 10.0),
    "with heights": ("EPSG:7415", 5.0, 52.0, 10.0),
}


def to_degrees(crs: str, x, y, inverse: bool = True):
    """Map coordinates to degrees on the CRS's own ellipsoid (or back), without the transformer that is tested."""
    flat = pyproj.CRS(crs).to_2d()
    if flat.is_geographic:
        factor = np.degrees(flat.axis_info[0].unit_conversion_factor)
        return (np.multiply(x, factor), np.multiply(y, factor)) if inverse else (x / factor, y / factor)
    return pyproj.Proj(flat)(x, y, inverse=inverse)


def grid_at(crs: str, longitude: float, latitude: float, pixel: float, turn: float = 0.0) -> PixelGrid:
    """1000 x 800 pixels around a place, turned by some degrees."""
    x, y = to_degrees(crs, longitude, latitude, inverse=False)
    cosine, sine = np.cos(np.radians(turn)) * pixel, np.sin(np.radians(turn)) * pixel
    corner_x, corner_y = x - 500 * cosine - 400 * sine, y - 500 * sine + 400 * cosine
    return PixelGrid(1000, 800, Transform(cosine, sine, corner_x, sine, -cosine, corner_y), pyproj.CRS(crs).to_wkt())


def geodesic(crs: str) -> pyproj.Geod:
    ellipsoid = pyproj.CRS(crs).ellipsoid
    return pyproj.Geod(a=ellipsoid.semi_major_metre, b=ellipsoid.semi_minor_metre)


def degrees_of(crs: str, grid: PixelGrid, positions: list[tuple[float, float]]):
    points = np.array([grid.transform.to_map(col, row) for col, row in positions])
    return to_degrees(crs, points[:, 0], points[:, 1])


def test_pixel_steps_agree_with_geodesics_to_one_in_a_million(subtests):
    for turn in (0.0, 25.0):
        for place in PLACES.values():
            with subtests.test(turn=turn, place=place):
                crs, *_ = place
                grid = grid_at(*place, turn=turn)
                col, row, half = 700.0, 300.0, 20.0
                steps = pixel_metres(grid, [col], [row])[0]
                for axis, (d_col, d_row) in enumerate([(half, 0), (0, half)]):
                    lons, lats = degrees_of(crs, grid, [(col - d_col, row - d_row), (col + d_col, row + d_row)])
                    azimuth, _, metres = geodesic(crs).inv(lons[0], lats[0], lons[1], lats[1])
                    length = metres / (2 * half)
                    assert np.hypot(*steps[:, axis]) == pytest.approx(length, rel=1e-6)
                    east, north = np.sin(np.radians(azimuth)) * length, np.cos(np.radians(azimuth)) * length
                    # On the way the geodesic itself turns by up to 2e-4 towards the pole.
                    assert steps[:, axis] == pytest.approx(np.array([east, north]), abs=1e-3 * length)


def test_pixel_areas_agree_with_geodesic_polygons_to_one_in_a_million(subtests):
    for place in PLACES.values():
        with subtests.test(place=place):
            crs, *_ = place
            grid = grid_at(*place, turn=10.0)
            corners = [(480, 380), (520, 380), (520, 420), (480, 420)]
            lons, lats = degrees_of(crs, grid, corners)
            area, _ = geodesic(crs).polygon_area_perimeter(lons, lats)
            assert pixel_area_m2(grid, [500.0], [400.0])[0] == pytest.approx(abs(area) / 1600, rel=1e-6)


@pytest.mark.parametrize(
    ("place", "half_px"), [(("EPSG:3857", 25.0, 60.0, 0.05), 1000), (("EPSG:4326", 8.0, 47.0, 0.25), 0.5)]
)
def test_tiny_and_huge_pixels_are_measured_to_one_in_a_hundred_thousand(place, half_px):
    grid = grid_at(*place)
    lons, lats = degrees_of(place[0], grid, [(500, 400 - half_px), (500, 400 + half_px)])
    metres = geodesic(place[0]).inv(lons[0], lats[0], lons[1], lats[1])[2] / (2 * half_px)
    assert ground_resolution_m(grid)[1] == pytest.approx(metres, rel=1e-5)


def test_web_mercator_pixels_are_half_as_long_at_60_degrees():
    grid = grid_at(*PLACES["web Mercator at 60 degrees"])
    col_m, row_m = ground_resolution_m(grid)
    assert col_m == pytest.approx(5.0, rel=5e-3)
    assert row_m == pytest.approx(5.0, rel=5e-3)


def test_feet_become_metres():
    col_m, row_m = ground_resolution_m(grid_at(*PLACES["US survey feet"]))
    assert (col_m, row_m) == pytest.approx((30 * 0.3048, 30 * 0.3048), rel=1e-3)


def test_positions_are_answered_one_by_one():
    grid = grid_at(*PLACES["degrees"])
    areas = pixel_area_m2(grid, [0.0, 0.0], [0.0, 800.0])
    assert areas.shape == (2,)
    assert areas[1] > areas[0], "further south, nearer to the equator, a degree is longer"


def test_without_a_crs_map_units_are_metres():
    grid = PixelGrid(10, 10, Transform(2, 0, 0, 0, -3, 0))
    assert ground_resolution_m(grid) == (2.0, 3.0)
    assert pixel_area_m2(grid, [1, 2, 3], [1, 2, 3]).tolist() == [6.0, 6.0, 6.0]


def test_a_local_crs_counts_in_its_own_unit():
    local = 'ENGCRS["site",EDATUM["site"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["foot",0.3048]]'
    assert ground_resolution_m(PixelGrid(9, 9, Transform(10, 0, 0, 0, -10, 0), local)) == pytest.approx((3.048, 3.048))


def test_a_crs_that_is_not_understood_is_refused():
    with pytest.raises(SceneError, match="'nonsense' is not understood"):
        ground_resolution_m(PixelGrid(10, 10, Transform(1, 0, 0, 0, -1, 0), "nonsense"))


def test_a_place_that_the_crs_does_not_have_is_refused():
    nowhere = PixelGrid(10, 10, Transform(1, 0, 1e9, 0, -1, 1e9), pyproj.CRS("EPSG:3413").to_wkt())
    lost = PixelGrid(10, 10, Transform(1, 0, 1e12, 0, -1, 1e12), pyproj.CRS("EPSG:32633").to_wkt())
    assert np.isfinite(pixel_metres(nowhere, [5], [5])).all()
    assert np.isnan(pixel_metres(lost, [5], [5])).any()
    with pytest.raises(SceneError, match="no place on Earth"):
        ground_resolution_m(lost)


@pytest.mark.parametrize(("corner", "step"), [(95.0, -0.01), (-84.0, -0.1), (5_000_000.0, -1.0), (-95.0, 0.01)])
def test_latitudes_beyond_a_pole_are_refused_with_the_farthest(corner, step):
    grid = PixelGrid(100, 100, Transform(0.01, 0, 15, 0, step, corner), pyproj.CRS("EPSG:4326").to_wkt())
    with pytest.raises(
        SceneError, match=r"reaches to -?(9[45]|5e\+06) in latitude, beyond the pole: .* assign the right"
    ):
        require_latitudes(grid)


def test_a_grid_of_the_whole_earth_may_have_the_poles_in_the_middle_of_its_pixels():
    grid = PixelGrid(1440, 721, Transform(0.25, 0, -180.125, 0, -0.25, 90.125), pyproj.CRS("EPSG:4326").to_wkt())
    require_latitudes(grid)
    assert ground_resolution_m(grid) == pytest.approx((27830, 27643), rel=1e-3)


@pytest.mark.parametrize("grads", [99.0, 101.0])
def test_the_pole_of_a_crs_in_grads_is_at_100(grads):
    grid = PixelGrid(10, 10, Transform(1e-4, 0, 2, 0, -1e-4, grads), pyproj.CRS("EPSG:4807").to_wkt())
    if grads < 100:
        require_latitudes(grid)
    else:
        with pytest.raises(SceneError, match="reaches to 101 in latitude"):
            require_latitudes(grid)


@pytest.mark.parametrize("code", ["EPSG:4978", "EPSG:4936"])
def test_a_crs_from_the_centre_of_the_earth_is_refused(code):
    grid = PixelGrid(10, 10, Transform(10, 0, 4e6, 0, -10, 1e6), pyproj.CRS(code).to_wkt())
    with pytest.raises(SceneError, match=r"is geocentric, .*: warp the raster to a projected one"):
        ground_resolution_m(grid)
