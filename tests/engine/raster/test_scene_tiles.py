"""A scene opened as one picture, or to be swept."""

from __future__ import annotations

import numpy as np
import pytest
from rasters import north_up, rotated, texture, write_raster

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
