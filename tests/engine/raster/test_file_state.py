"""What changes when a file does that a raster is read from."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from osgeo import gdal
from rasters import north_up, write_raster

from rs_textseg_plugin.engine.raster.file_state import state_of_files


@pytest.fixture
def raster(tmp_path) -> Path:
    return write_raster(tmp_path / "a.tif", np.ones((3, 20, 20), np.uint8), transform=north_up(1))


def vrt_of(path: Path, source: Path) -> Path:
    gdal.BuildVRT(str(path), [str(source)]).FlushCache()
    return path


def state(path: Path | str):
    with rasterio.open(path) as dataset:
        return state_of_files(dataset)


def repaint(path: Path) -> None:
    """Change pixels in place, so that not even the size of the file differs."""
    with rasterio.open(path, "r+") as file:
        file.write(np.full((3, 20, 20), 7, np.uint8))
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def test_the_state_of_a_file_is_the_same_until_the_file_changes(raster):
    before = state(raster)
    assert before
    assert state(raster) == before
    repaint(raster)
    assert state(raster) != before


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_vrt_changes_with_its_source_however_deep_that_lies(raster, tmp_path, depth):
    path = raster
    for number in range(depth):
        path = vrt_of(tmp_path / f"{number}.vrt", path)
    before = state(path)
    assert len(before) == depth + 1
    repaint(raster)
    assert state(path) != before


def test_a_vrt_that_was_given_as_text_changes_with_its_source(raster, tmp_path):
    text = vrt_of(tmp_path / "a.vrt", raster).read_text()
    text = text.replace('relativeToVRT="1">a.tif', f'relativeToVRT="0">{raster}')
    before = state(text)
    assert before
    repaint(raster)
    assert state(text) != before


def test_a_warped_vrt_changes_with_its_source(raster, tmp_path):
    gdal.Warp(str(tmp_path / "w.vrt"), str(raster), format="VRT", dstSRS="EPSG:4326").FlushCache()
    before = state(tmp_path / "w.vrt")
    repaint(raster)
    assert state(tmp_path / "w.vrt") != before


def test_overviews_in_a_file_of_their_own_belong_to_it(raster):
    before = state(raster)
    gdal.Open(str(raster)).BuildOverviews("NEAREST", [2])  # opened for reading: they go beside it
    assert len(state(raster)) == len(before) + 1


def test_a_link_changes_with_what_it_points_to(raster, tmp_path):
    link = tmp_path / "link.tif"
    link.symlink_to(raster)
    before = state(link)
    repaint(raster)
    assert state(link) != before


def test_what_cannot_be_known_is_none(raster, tmp_path):
    with rasterio.MemoryFile(raster.read_bytes()) as memory:
        in_memory = vrt_of(tmp_path / "m.vrt", raster)
        in_memory.write_text(
            in_memory.read_text().replace('relativeToVRT="1">a.tif', f'relativeToVRT="0">{memory.name}')
        )
        assert state(memory.name) is None
        assert state(in_memory) is None
    gone = vrt_of(tmp_path / "gone.vrt", raster)
    raster.unlink()
    assert state(gone) is None


def test_a_vrt_that_names_itself_comes_to_an_end(raster, tmp_path):
    path = vrt_of(tmp_path / "a.vrt", raster)
    path.write_text(path.read_text().replace(">a.tif<", ">a.vrt<"))
    assert state(path) is None
