"""A scene opened as one picture, or to be swept."""

from __future__ import annotations

import numpy as np
import pytest
from rasters import north_up, rotated, texture, write_raster

from rs_textseg_plugin.contract.errors import SceneError
from rs_textseg_plugin.contract.grid import Extent
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.engine.raster.scene_tiles import open_scene_tiles


@pytest.fixture
def raster(tmp_path):
    return str(write_raster(tmp_path / "a.tif", texture(300, 500), transform=north_up(0.5)))


@pytest.mark.parametrize(
    ("wanted", "view_px", "is_whole"), [("auto", 500, True), ("auto", 499, False), ("sweep", 9000, False)]
)
def test_auto_looks_at_what_fits_as_a_whole(wanted, view_px, is_whole, raster):
    scene_tiles = open_scene_tiles(Scene(raster), wanted, view_px)
    with scene_tiles.reader:
        assert scene_tiles.is_whole is is_whole
        assert scene_tiles.notes == ()
        assert len(list(scene_tiles.grid(128, 16).tiles(scene_tiles.reader.extent))) == (1 if is_whole else 15)


@pytest.mark.parametrize("view_px", [64, 100, 333, 499])
@pytest.mark.parametrize("transform", [north_up(0.5), rotated(20, 0.3)])
def test_a_whole_view_is_never_larger_than_asked_for(view_px, transform, tmp_path):
    path = write_raster(tmp_path / "b.tif", texture(300, 500), transform=transform)
    scene_tiles = open_scene_tiles(Scene(str(path)), "whole", view_px)
    with scene_tiles.reader:
        (tile,) = scene_tiles.grid(128, 16).tiles(scene_tiles.reader.extent)
        assert min(view_px - 2, 470) <= max(tile.window.width, tile.window.height) <= view_px
        assert scene_tiles.reader.read(tile.window).rgb.shape[:2] == (tile.window.height, tile.window.width)
    assert "500 x 300 px" in scene_tiles.notes[0]


def test_the_view_is_of_the_extent(raster):
    extent = Extent(500_010, 4_999_900, 500_110, 4_999_960)
    scene_tiles = open_scene_tiles(Scene(raster, extent=extent), "whole", 1024)
    with scene_tiles.reader:
        (tile,) = scene_tiles.grid(128, 16).tiles(scene_tiles.reader.extent)
        assert (tile.window.col, tile.window.row, tile.window.width, tile.window.height) == (20, 80, 200, 120)
        assert np.ptp(scene_tiles.reader.read(tile.window).rgb) > 50


def test_a_picture_is_one_look_whose_answer_is_cut_into_tiles_that_cover_the_extent(tmp_path):
    path = write_raster(tmp_path / "c.tif", texture(40, 2500), transform=north_up(0.5))
    extent = Extent(500_010, 4_999_985, 501_200, 4_999_998)
    scene_tiles = open_scene_tiles(Scene(str(path), extent=extent), "picture", 0)
    with scene_tiles.reader:
        window = scene_tiles.reader.extent
        (look,) = scene_tiles.looks(scene_tiles.grid(64, 16))
        assert look.window == window
        assert [tile.window.width for tile in look.tiles] == [1024, 1024, 332]
        assert sum(tile.core.width * tile.core.height for tile in look.tiles) == window.width * window.height
        assert all(tile.window.intersection(window) == tile.window == tile.core for tile in look.tiles)


def test_tiles_are_looked_at_one_by_one(raster):
    scene_tiles = open_scene_tiles(Scene(raster), "sweep", 0)
    with scene_tiles.reader:
        grid = scene_tiles.grid(128, 16)
        looks = scene_tiles.looks(grid)
        assert [(look.window, look.tiles) for look in looks] == [(tile.window, (tile,)) for tile in grid.tiles()]


@pytest.mark.parametrize(("width", "is_refused"), [(8192, False), (8193, True)])
def test_a_picture_larger_than_8192_px_is_refused_with_the_preset_that_sweeps(width, is_refused, tmp_path):
    path = str(write_raster(tmp_path / "d.tif", texture(8, width), transform=north_up(0.5)))
    if is_refused:
        reason = r"8193 x 8 working pixels, and look=picture .* up to 8192 px a side: take the preset native"
        with pytest.raises(SceneError, match=reason):
            open_scene_tiles(Scene(path), "picture", 0)
    else:
        with open_scene_tiles(Scene(path), "picture", 0).reader as reader:
            assert reader.extent.width == 8192
