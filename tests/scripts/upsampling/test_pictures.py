from __future__ import annotations

import numpy as np
import pytest
from rasters import scene_of, texture, write_raster

from rs_textseg_plugin.contract.errors import SceneError
from rs_textseg_plugin.contract.scene import Scene
from upsampling import pictures
from upsampling.pictures import PictureSource, find_rasters


def test_rasters_are_found_at_any_depth_and_by_name(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    first, second = write_raster(tmp_path / "a.tif", texture()), write_raster(tmp_path / "deep/er/b.TIF", texture())
    (tmp_path / "notes.txt").write_text("no raster")
    assert find_rasters([tmp_path]) == [first, second]
    assert find_rasters([second, first]) == [second, first]


@pytest.mark.parametrize("name", ["empty", "missing.tif"])
def test_no_raster_is_said_with_its_place(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SceneError, match=rf"There is no raster .*{name}"):
        find_rasters([tmp_path / name])


def test_pictures_are_parts_of_the_rasters_as_the_product_reads_them(tmp_path):
    values = texture(40, 50)
    path = write_raster(tmp_path / "a.tif", values)
    with PictureSource([path], Scene(""), 32) as source:
        cut = source.cut(3, np.random.default_rng(0))
    whole = values.transpose(1, 2, 0)
    windows = np.lib.stride_tricks.sliding_window_view(whole, (32, 32), axis=(0, 1)).transpose(0, 1, 3, 4, 2)
    assert cut.shape == (3, 32, 32, 3)
    assert all((windows == one).all(axis=(2, 3, 4)).any() for one in cut)
    assert (cut[0] != cut[1]).any()


def test_a_small_raster_is_continued_by_its_reflection(tmp_path):
    values = texture(20, 16)
    with PictureSource([write_raster(tmp_path / "a.tif", values)], Scene(""), 64) as source:
        cut = source.cut(1, np.random.default_rng(0))[0]
    whole = values.transpose(1, 2, 0)
    np.testing.assert_array_equal(cut[22:42, 24:40], whole)
    np.testing.assert_array_equal(cut[21, 24:40], whole[1])
    np.testing.assert_array_equal(cut[22:42, 40], whole[:, -2])


def test_missing_pixels_are_avoided(tmp_path):
    values, mask = texture(64, 200), np.ones((64, 200), bool)
    mask[:, :150] = False
    path = write_raster(tmp_path / "a.tif", values, mask=mask)
    with PictureSource([path], Scene(""), 32) as source:
        cut = source.cut(10, np.random.default_rng(0))
    assert (cut > 0).all()  # a missing pixel is black, and the texture is not


def test_a_raster_without_a_whole_place_gives_the_fullest_one(tmp_path):
    values, mask = texture(64, 64), np.ones((64, 64), bool)
    mask[::16, ::16] = False
    mask[:, :20] = False
    with PictureSource([write_raster(tmp_path / "a.tif", values, mask=mask)], Scene(""), 40) as source:
        cut = source.cut(1, np.random.default_rng(0))[0]
    assert (cut > 0).all(axis=-1).mean() > 0.98


def test_every_pixel_counts_the_same_and_few_rasters_are_open_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "_OPEN_AT_ONCE", 2)
    paths = [
        write_raster(tmp_path / f"{value}.tif", np.full((3, 32, 32 * size), value, np.uint8))
        for value, size in ((50, 1), (100, 6), (200, 1))
    ]
    with PictureSource(paths, Scene(""), 32) as source:
        cut = source.cut(60, np.random.default_rng(0))
        assert len(source._open) == 2
    shares = [(cut[:, 0, 0, 0] == value).mean() for value in (50, 100, 200)]
    assert 0.6 < shares[1] < 0.9
    assert min(shares) > 0


@pytest.mark.parametrize(("shape", "words"), [((15, 40), "40 x 15"), ((40, 8), "8 x 40")])
def test_a_raster_under_sixteen_pixels_is_refused(tmp_path, shape, words):
    path = write_raster(tmp_path / "tiny.tif", texture(*shape))
    with pytest.raises(SceneError, match=rf"tiny\.tif has {words} pixels"):
        PictureSource([path], Scene(""), 32)


def test_a_resolution_that_leaves_too_few_pixels_is_refused(tmp_path):
    path = write_raster(tmp_path / "coarse.tif", texture(64, 64))  # of 1 m
    with pytest.raises(SceneError, match=r"coarse\.tif has 8 x 8 pixels"):
        PictureSource([path], scene_of(path, ground_resolution_m=8.0), 32)


def test_what_is_no_raster_and_bands_that_do_not_exist_are_refused_before_any_cut(tmp_path):
    (tmp_path / "text.tif").write_text("no raster")
    with pytest.raises(SceneError, match=r"text\.tif cannot be opened as a raster"):
        PictureSource([tmp_path / "text.tif"], Scene(""), 32)
    grey = write_raster(tmp_path / "grey.tif", texture(bands=1))
    with pytest.raises(SceneError, match="has 1 band"):
        PictureSource([grey], Scene(""), 32)
