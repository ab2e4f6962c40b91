"""Where rasters lie, and the grid they are worked on."""

from __future__ import annotations

import math

import numpy as np
import pytest
import rasterio
from rasterio import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.rpc import RPC
from rasters import METRE_PIXELS, UTM, north_up, rotated, scene_of, texture, write_raster

from rs_textseg_plugin.contract.errors import SceneError
from rs_textseg_plugin.contract.grid import PixelGrid, Transform
from rs_textseg_plugin.engine.raster.georeference import native_grid, working_grid
from rs_textseg_plugin.engine.raster.ground_resolution import ground_resolution_m
from rs_textseg_plugin.engine.raster.reader import open_scene

UTM_WKT = CRS.from_string(UTM).to_wkt()
RPCS = RPC(
    height_off=0.0, height_scale=1.0, lat_off=47.0, lat_scale=0.1, line_off=48.0, line_scale=48.0, long_off=15.0,
    long_scale=0.1, samp_off=64.0, samp_scale=64.0, line_den_coeff=[1.0] + [0.0] * 19,
    line_num_coeff=[0.0, 0.0, -1.0] + [0.0] * 17, samp_den_coeff=[1.0] + [0.0] * 19,
    samp_num_coeff=[0.0, 1.0] + [0.0] * 18,
)  # fmt: skip


def native(path, **fields):
    with rasterio.open(path) as dataset:
        return native_grid(dataset, scene_of(path, **fields))


@pytest.mark.parametrize(
    "transform", [north_up(0.3), rotated(30), Affine(1, 0, 500000, 0, 1, 5000000), Affine(1, 0, 500000, 0, -1.05, 9)]
)
def test_any_transform_is_kept_as_it_is(tmp_path, transform):
    grid, notes = native(write_raster(tmp_path / "a.tif", texture(), transform=transform))
    assert grid.transform == Transform(*transform[:6])
    assert (grid.width, grid.height, notes) == (128, 96, ())
    assert CRS.from_wkt(grid.crs_wkt) == CRS.from_string(UTM)


def test_without_a_crs_the_one_of_the_scene_is_used(tmp_path):
    path = write_raster(tmp_path / "a.tif", texture(), crs=None)
    grid, notes = native(path, crs_wkt=UTM_WKT)
    assert CRS.from_wkt(grid.crs_wkt) == CRS.from_string(UTM)
    assert "the one given with the scene" in notes[0]


def test_the_crs_of_the_scene_does_not_replace_the_raster_s(tmp_path):
    grid, _ = native(write_raster(tmp_path / "a.tif", texture()), crs_wkt=CRS.from_epsg(3857).to_wkt())
    assert CRS.from_wkt(grid.crs_wkt) == CRS.from_string(UTM)


def test_without_any_crs_map_units_are_taken_as_metres_and_that_is_said(tmp_path):
    grid, notes = native(write_raster(tmp_path / "a.tif", texture(), crs=None))
    assert grid.crs_wkt == ""
    assert "map units are taken as metres" in notes[0]


def test_a_crs_of_the_scene_that_is_not_understood_is_refused(tmp_path):
    with pytest.raises(SceneError, match=r"CRS given for .* is not understood"):
        native(write_raster(tmp_path / "a.tif", texture(), crs=None), crs_wkt="nonsense")


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_without_georeference_rows_go_down_as_in_qgis(tmp_path):
    grid, notes = native(write_raster(tmp_path / "a.tif", texture(), transform=None, crs=None))
    assert grid.transform == Transform(1, 0, 0, 0, -1, 0)
    assert "not georeferenced" in notes[0]
    assert "taken as metres" in notes[1]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_control_points_alone_are_refused(tmp_path):
    path = write_raster(tmp_path / "a.tif", texture(), transform=None, crs=None)
    points = [GroundControlPoint(row, col, 500000 + col, 5000000 - row) for row in (0, 96) for col in (0, 100)]
    with rasterio.open(path, "r+") as dataset:
        dataset.gcps = (points, CRS.from_string(UTM))
    with pytest.raises(SceneError, match="ground control points only: warp it first"):
        native(path)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_rational_polynomials_alone_are_refused(tmp_path):
    path = write_raster(tmp_path / "a.tif", texture(), transform=None, crs=None)
    with rasterio.open(path, "r+") as dataset:
        dataset.rpcs = RPCS
    with pytest.raises(SceneError, match=r"\(RPC\) only: warp it first"):
        native(path)


def test_a_degenerate_transform_is_refused(tmp_path):
    path = write_raster(tmp_path / "a.tif", texture(), transform=Affine(1, 1, 0, 2, 2, 0))
    with pytest.raises(SceneError, match="gives its pixels no area"):
        native(path)


@pytest.mark.parametrize(
    ("crs", "transform", "words"),
    [
        ("EPSG:4326", METRE_PIXELS, r"reaches to 5e\+06 in latitude, beyond the pole"),
        ("EPSG:4326", Affine(0.1, 0, 15, 0, -0.1, 95), "reaches to 95 in latitude, beyond the pole"),
        ("EPSG:4978", METRE_PIXELS, "is geocentric"),
    ],
)
def test_a_raster_that_is_nowhere_on_the_map_is_refused(tmp_path, crs, transform, words):
    path = write_raster(tmp_path / "a.tif", texture(), transform=transform, crs=crs)
    with pytest.raises(SceneError, match=words):
        open_scene(scene_of(path))


def test_nearly_square_pixels_are_worked_on_as_they_are():
    grid = PixelGrid(100, 80, Transform(1, 0, 500000, 0, -1.09, 5000000), UTM_WKT)
    working = working_grid(grid, None)
    assert working.grid == grid
    assert (working.scale_col, working.scale_row, working.notes) == (1.0, 1.0, ())


def test_oblong_pixels_become_squares_of_their_finer_side():
    working = working_grid(PixelGrid(100, 80, Transform(1, 0, 500000, 0, -2, 5000000), UTM_WKT), None)
    assert (working.grid.width, working.grid.height) == (100, 160)
    assert working.grid.transform == Transform(1, 0, 500000, 0, -1, 5000000)
    assert "resampled to square pixels" in working.notes[0]


def test_degrees_become_squares_on_the_ground():
    grid = PixelGrid(300, 200, Transform(1e-5, 0, 15, 0, -1e-5, 60), CRS.from_epsg(4326).to_wkt())
    col_m, row_m = ground_resolution_m(working_grid(grid, None).grid)
    assert col_m == pytest.approx(row_m, rel=1e-2)
    assert col_m == pytest.approx(0.558, rel=1e-2)


@pytest.mark.parametrize(("wanted", "size"), [(0.5, (200, 160)), (2.0, (50, 40)), (3.0, (34, 27)), (500.0, (1, 1))])
def test_a_wanted_resolution_starts_at_the_same_corner(wanted, size):
    grid = PixelGrid(100, 80, Transform(1, 0, 0, 0, -1, 0))
    working = working_grid(grid, wanted)
    assert (working.grid.width, working.grid.height) == size
    assert working.grid.transform == Transform(wanted, 0, 0, 0, -wanted, 0)


def test_a_wanted_resolution_is_one_of_the_ground_and_not_of_the_map():
    grid = PixelGrid(100, 80, Transform(1, 0, 2.5e6, 0, -1, 8.4e6), CRS.from_epsg(3857).to_wkt())
    working = working_grid(grid, 2.0)
    assert ground_resolution_m(working.grid) == pytest.approx((2.0, 2.0), rel=1e-2)
    assert working.scale_col == pytest.approx(4.0, rel=0.01)


def test_a_wanted_resolution_within_a_hundredth_is_the_raster_s_own():
    grid = PixelGrid(100, 80, Transform(0.1001, 0, 0, 0, -0.0999, 0))
    assert working_grid(grid, 0.1).grid == grid


@pytest.mark.parametrize(("pixel", "scale"), [(0.5002, 2.0), (0.0998, 10.0), (2.003, 0.5), (0.76, 1 / 0.76)])
def test_a_wanted_resolution_close_to_a_whole_multiple_or_part_is_taken_as_that(pixel, scale):
    working = working_grid(PixelGrid(100, 80, Transform(pixel, 0, 0, 0, -pixel, 0)), 1.0)
    assert working.scale_col == pytest.approx(scale, rel=1e-12)
    assert working.grid.transform.a == pytest.approx(pixel * scale, rel=1e-12)


def test_a_raster_of_slivers_at_the_pole_is_refused_before_it_becomes_thousands_of_tiles(tmp_path):
    slivers = Affine(1e-4, 0, 15, 0, -1e-4, 90)  # 16 x 12 pixels, each of them 11 m by a tenth of a millimetre
    path = write_raster(tmp_path / "pole.tif", texture(12, 16), transform=slivers, crs="EPSG:4326")
    with pytest.raises(SceneError, match=r"over 100 times the 16 x 12 pixels .* .near a pole a polar one."):
        open_scene(scene_of(path))
    with open_scene(scene_of(path, ground_resolution_m=11.2)) as reader:
        assert reader.grid.width * reader.grid.height <= 100 * 192


def test_a_resolution_far_below_the_raster_s_is_refused_with_the_finest_that_is_not(subtests):
    grid = PixelGrid(100, 80, Transform(10, 0, 500000, 0, -10, 5000000))
    for wanted in (0.98, 1e-3, 1e-300):
        with subtests.test(wanted=wanted), pytest.raises(SceneError, match=r"over 100 times .*: ask for 1 m or more"):
            working_grid(grid, wanted)
    working = working_grid(grid, 1.0)
    assert (working.grid.width, working.grid.height) == (1000, 800)


def test_oblong_pixels_are_made_square_up_to_a_stated_multiple():
    oblong = PixelGrid(100, 80, Transform(1, 0, 0, 0, -99, 0))
    assert working_grid(oblong, None).grid.height == 7920
    with pytest.raises(SceneError, match=r"Square pixels of 1 m, the finer side, would have over 100 times"):
        working_grid(PixelGrid(100, 80, Transform(1, 0, 0, 0, -110, 0)), None)


def test_an_exact_division_has_no_extra_pixel():
    assert 21 / 0.7 > 30, "in floating point"
    assert working_grid(PixelGrid(21, 21, Transform(1, 0, 0, 0, -1, 0)), 0.7).grid.width == 30


@pytest.mark.parametrize("wanted", [0.0, -1.0, math.nan, math.inf])
def test_an_impossible_resolution_is_refused(wanted):
    with pytest.raises(SceneError, match=r"ground resolution .* cannot be used"):
        working_grid(PixelGrid(100, 80, Transform(1, 0, 0, 0, -1, 0)), wanted)


@pytest.mark.parametrize("transform", [rotated(30), Affine(1, 0, 500000, 0, 1, 5000000)])
def test_rotated_and_south_up_rasters_are_resampled_in_place(tmp_path, transform):
    values = texture()
    path = write_raster(tmp_path / "a.tif", values, transform=transform)
    with open_scene(scene_of(path, ground_resolution_m=2.0)) as reader:
        image = reader.read(reader.grid.window)
        here, there = reader.grid.transform.to_map(10, 20), reader.native_grid.transform.to_map(20, 40)
    assert here == pytest.approx(there, rel=1e-9, abs=0.02)
    assert image.rgb[20, 10] == pytest.approx(values[:, 40:42, 20:22].mean(axis=(1, 2)), abs=1)
    assert np.asarray(image.rgb).shape[:2] == (48, 64)
