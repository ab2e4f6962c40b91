"""One stretch for the whole scene, whatever part of it is asked for."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from rasters import CORNER, scene_of, texture, with_black_corner, write_raster

from rs_textseg_plugin.contract.errors import SceneError
from rs_textseg_plugin.contract.grid import Extent
from rs_textseg_plugin.contract.scene import Stretch
from rs_textseg_plugin.engine.raster.bands import BandSource, choose_bands
from rs_textseg_plugin.engine.raster.reader import open_scene
from rs_textseg_plugin.engine.raster.survey import Levels, Survey, take_survey


def survey_of(path, **fields) -> Survey:
    scene = scene_of(path, **fields)
    with rasterio.open(path) as dataset:
        return take_survey(BandSource(dataset, choose_bands(dataset, scene)), scene.stretch)


def image_of(path, **fields):
    with open_scene(scene_of(path, **fields)) as reader:
        return reader.read(reader.grid.window)


def test_bytes_stay_as_they_are(tmp_path):
    values = texture()
    path = write_raster(tmp_path / "a.tif", values)
    assert survey_of(path).levels.keeps_bytes
    assert np.array_equal(image_of(path).rgb, np.moveaxis(values, 0, -1))


@pytest.mark.parametrize("dtype", ["uint16", "int16", "uint32", "float32", "float64"])
def test_other_types_are_stretched_between_percentiles_of_each_band(tmp_path, dtype):
    values = (texture().astype(float) * [[[10]], [[20]], [[30]]] + 500).astype(dtype)
    levels = survey_of(write_raster(tmp_path / "a.tif", values)).levels
    for band in range(3):
        assert levels.low[band] == pytest.approx(np.percentile(values[band], 2))
        assert levels.high[band] == pytest.approx(np.percentile(values[band], 98))


def test_the_low_and_high_values_become_black_and_white(tmp_path):
    values = np.array([[[1000, 2000, 3000, 500, 9000]]], np.uint16)
    image = image_of(write_raster(tmp_path / "a.tif", values), bands=(1,), stretch=Stretch("range", 1000, 3000))
    assert image.rgb[0, :, 0].tolist() == [0, 128, 255, 0, 255]
    assert image.rgb.flags.c_contiguous


def test_no_stretch_clips_to_bytes(tmp_path):
    values = np.array([[[-5, 0, 99, 255, 1000]]], np.int16)
    image = image_of(write_raster(tmp_path / "a.tif", values), bands=(1,), stretch=Stretch("none"))
    assert image.rgb[0, :, 1].tolist() == [0, 0, 99, 255, 255]


def test_percentiles_can_be_asked_for_bytes_too(tmp_path):
    values = texture()
    levels = survey_of(write_raster(tmp_path / "a.tif", values), stretch=Stretch("percentile", 5, 95)).levels
    assert levels.low[1] == pytest.approx(np.percentile(values[1], 5))


def test_missing_pixels_and_the_collar_do_not_count(tmp_path):
    values = with_black_corner(texture().astype("uint16") * 10, 60)
    values[:, 80:] = 65535
    values[0, 70, 70] = 65535
    path = write_raster(tmp_path / "a.tif", values, nodata=65535)
    levels = survey_of(path).levels
    assert min(levels.low) >= 200
    assert max(levels.high) <= 2350


def test_a_part_is_stretched_like_the_whole(tmp_path):
    values = np.linspace(0, 40000, 96 * 128).reshape(1, 96, 128).astype("uint16") + 1
    path = write_raster(tmp_path / "a.tif", values)
    part = Extent(CORNER[0] + 10, CORNER[1] - 20, CORNER[0] + 40, CORNER[1] - 5)
    with open_scene(scene_of(path, bands=(1,), extent=part)) as reader:
        window, image = reader.extent, reader.read(reader.extent)
    assert np.array_equal(image.rgb, image_of(path, bands=(1,)).rgb[window.slices])


@pytest.mark.parametrize("value", [0.5, 1000.0, 3e9])
def test_a_constant_band_becomes_grey_and_does_not_divide_by_zero(tmp_path, value):
    values = texture().astype("float32")
    values[1] = value
    image = image_of(write_raster(tmp_path / "a.tif", values))
    assert set(np.unique(image.rgb[..., 1])) <= {127, 128}
    assert np.ptp(image.rgb[..., 0]) == 255


def test_large_offsets_keep_their_detail(tmp_path):
    values = (np.arange(256, dtype="float64") + 1e9).reshape(1, 16, 16)
    image = image_of(write_raster(tmp_path / "a.tif", values), bands=(1,), stretch=Stretch("range", 1e9, 1e9 + 255))
    assert image.rgb[..., 0].ravel().tolist() == list(range(256))


def test_a_large_raster_is_looked_at_in_about_a_million_pixels(tmp_path):
    values = texture(1500, 2100, bands=1).astype("uint16") * 9
    path = write_raster(tmp_path / "a.tif", values)
    survey = survey_of(path, bands=(1,))
    assert survey.step_px == 2
    assert survey.valid.shape == (750, 1050)
    assert survey.levels.low[0] == pytest.approx(np.percentile(values, 2), abs=20)


def test_a_raster_that_is_one_pixel_high_is_looked_at(tmp_path):
    values = np.arange(1, 1_500_001, dtype="uint32").reshape(1, 1, -1)
    assert survey_of(write_raster(tmp_path / "a.tif", values), bands=(1,)).levels.high[0] == pytest.approx(1.47e6)


def test_a_few_valid_pixels_that_the_picture_misses_are_found(tmp_path):
    values = np.full((1, 1100, 1100), -1, np.int16)
    values[0, 700, 301:304] = [100, 200, 300]
    picture_misses_them = survey_of(write_raster(tmp_path / "a.tif", values, nodata=-1), bands=(1,))
    if picture_misses_them.valid.any():
        pytest.fail("the picture shows them: choose other pixels for this test")
    assert 100 <= picture_misses_them.levels.low[0] < picture_misses_them.levels.high[0] <= 300


def test_a_raster_without_any_valid_pixel_is_refused(tmp_path):
    path = write_raster(tmp_path / "a.tif", np.full((1, 50, 50), -1, np.int16), nodata=-1)
    with pytest.raises(SceneError, match="holds no valid pixel"):
        survey_of(path, bands=(1,))


def test_levels_are_applied_band_by_band():
    values = np.array([[[0.0, 10.0]], [[0.0, 10.0]]], np.float32)
    stretched = Levels((0.0, 5.0), (10.0, 15.0)).apply(values)
    assert stretched.tolist() == [[[0, 255]], [[0, 128]]]
