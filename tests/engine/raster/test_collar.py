"""Black that belongs to the frame, and black that belongs to the image."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from rasters import scene_of, texture, with_black_corner, write_raster

from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.engine.raster.bands import BandSource, choose_bands
from rs_textseg_plugin.engine.raster.collar import Collar, find_collar
from rs_textseg_plugin.engine.raster.reader import open_scene


def corner_mask(height: int, width: int, size_px: int) -> np.ndarray:
    rows, cols = np.mgrid[:height, :width]
    return rows + cols < size_px


def validity(path, **fields) -> np.ndarray:
    with open_scene(scene_of(path, **fields)) as reader:
        return reader.read(reader.grid.window).valid


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_black_corner_is_left_out_to_the_pixel(tmp_path, dtype):
    path = write_raster(tmp_path / "a.tif", with_black_corner(texture(), 50).astype(dtype))
    assert np.array_equal(validity(path), ~corner_mask(96, 128, 50))


def test_the_collar_is_told_in_a_note(tmp_path):
    with open_scene(scene_of(write_raster(tmp_path / "a.tif", with_black_corner(texture(), 50)))) as reader:
        assert any("About 10 % of the raster is a black collar" in note for note in reader.notes)
    with open_scene(scene_of(write_raster(tmp_path / "b.tif", texture()))) as reader:
        assert reader.notes == ()


def test_a_dark_object_in_the_middle_stays(tmp_path):
    values = with_black_corner(texture(), 30)
    values[:, 50:80, 60:100] = 0
    assert np.array_equal(validity(write_raster(tmp_path / "a.tif", values)), ~corner_mask(96, 128, 30))


def test_black_in_one_band_only_is_a_colour(tmp_path):
    values = texture()
    values[:2, :40, :40] = 0
    assert validity(write_raster(tmp_path / "a.tif", values)).all()


def test_a_small_shadow_at_the_edge_stays(tmp_path):
    values = texture()
    values[:, :7, 20:29] = 0
    assert validity(write_raster(tmp_path / "a.tif", values)).all(), "63 pixels are too few for a collar"
    values[:, :8, 20:28] = 0
    assert not validity(write_raster(tmp_path / "b.tif", values)).all()


def test_a_part_of_a_thousandth_of_the_picture_is_needed():
    black = np.zeros((400, 400), bool)
    black[:10, :15] = True
    assert not find_collar(black).any()
    black[:10, :16] = True
    assert find_collar(black).sum() == 160


def test_several_corners_are_one_collar(tmp_path):
    values = with_black_corner(texture(), 40)
    values = with_black_corner(values[:, ::-1, ::-1], 40)[:, ::-1, ::-1]
    mask = corner_mask(96, 128, 40)
    assert np.array_equal(validity(write_raster(tmp_path / "a.tif", values)), ~(mask | mask[::-1, ::-1]))


def test_parts_that_touch_at_a_corner_are_one():
    black = np.zeros((40, 40), bool)
    black[:6, :6] = black[6:14, 6:14] = True
    assert np.array_equal(find_collar(black), black)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_the_border_is_found_where_the_picture_shows_it_only_roughly(tmp_path, dtype):
    values = with_black_corner(texture(1500, 1700), 900).astype(dtype)
    values[:, 1000:1100, 1000:1100] = 0
    path = write_raster(tmp_path / "a.tif", values)
    assert np.array_equal(validity(path), ~corner_mask(1500, 1700, 900))


def test_the_noise_of_jpeg_along_the_collar_is_left_out_too(tmp_path):
    values = with_black_corner(np.maximum(texture(256, 256), 90), 200)
    path = write_raster(tmp_path / "a.tif", values, compress="jpeg", photometric="ycbcr", jpeg_quality=75)
    with rasterio.open(path) as dataset:
        stored = dataset.read()
    collar = corner_mask(256, 256, 200)
    noisy = collar & (stored > 0).any(axis=0)
    assert noisy.sum() > 1000, "the compression left its noise"
    with open_scene(scene_of(path)) as reader:
        image = reader.read(reader.grid.window)
    assert image.valid[noisy].mean() < 0.15
    assert image.valid[~collar].mean() > 0.995
    assert not (image.rgb[image.valid].max(axis=1) == 0).any()


def test_at_a_coarser_resolution_the_border_is_not_darkened(tmp_path):
    values = with_black_corner(np.full((3, 300, 300), 200, np.uint8), 200)
    path = write_raster(tmp_path / "a.tif", values)
    with open_scene(scene_of(path, ground_resolution_m=3.0)) as reader:
        image = reader.read(reader.grid.window)
    assert 0.7 < image.valid.mean() < 0.85
    assert (image.rgb[image.valid] == 200).all()


def test_overviews_mix_border_pixels_with_black_and_those_are_left_out(tmp_path):
    values = with_black_corner(np.full((3, 300, 300), 200, np.uint16), 199)
    path = write_raster(tmp_path / "a.tif", values, overviews=[2])
    with open_scene(scene_of(path, ground_resolution_m=2.0, nodata=9.0)) as reader:
        image = reader.read(reader.grid.window)
    with rasterio.open(path, overview_level=0) as overview:
        assert len(np.unique(overview.read(1))) == 3, "there are mixed pixels"
    assert image.valid.any()
    assert len(np.unique(image.rgb[image.valid])) == 1


@pytest.mark.parametrize("lossy", [True, False])
def test_every_window_agrees_with_the_whole_along_the_collar(tmp_path, lossy):
    values = with_black_corner(texture(200, 200), 180)
    if lossy:
        path = write_raster(tmp_path / "a.tif", values, compress="jpeg", photometric="ycbcr")
    else:
        values[:, np.random.default_rng(0).uniform(size=(200, 200)) < 0.02] = 50
        path = write_raster(tmp_path / "a.tif", values.astype("uint16"))
    with open_scene(scene_of(path)) as reader:
        all_of_it = reader.read(reader.grid.window)
        for window in (
            *(Window(70 + i, 60 + i, 30, 31) for i in range(4)),
            Window(0, 0, 33, 33),
            Window(170, 0, 30, 30),
            Window(90, 89, 1, 1),
        ):
            part = reader.read(window)
            assert np.array_equal(part.valid, all_of_it.valid[window.slices])
            assert np.array_equal(part.rgb, all_of_it.rgb[window.slices])


def test_small_gaps_inside_the_collar_are_closed(tmp_path):
    values = with_black_corner(texture(), 60)
    values[:, 10, 10:13] = 50
    assert np.array_equal(validity(write_raster(tmp_path / "a.tif", values)), ~corner_mask(96, 128, 60))


def test_where_no_collar_is_near_the_patch_is_read_without_a_margin(tmp_path):
    path = write_raster(tmp_path / "a.tif", with_black_corner(texture(), 20))
    picture = np.zeros((96, 128), bool)
    picture[:20, :20] = True
    with rasterio.open(path) as dataset:
        source = BandSource(dataset, choose_bands(dataset, scene_of(path)))
        patch = Collar(picture, 1, 0).read(source, Window(60, 60, 20, 20))
    assert patch.values.base is None
    assert patch.valid.all()
