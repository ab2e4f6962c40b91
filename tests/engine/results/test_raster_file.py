from __future__ import annotations

import numpy as np
import pytest
import rasterio
from small_disk import files_end_at

from rs_textseg_plugin.contract.errors import EngineError
from rs_textseg_plugin.contract.grid import PixelGrid, Transform, Window
from rs_textseg_plugin.engine.results.placement import Placement
from rs_textseg_plugin.engine.results.raster_file import RasterFile

UTM = rasterio.crs.CRS.from_epsg(32633).to_wkt()
GRID = PixelGrid(100, 80, Transform(0.5, 0, 500000, 0, -0.5, 5000000), UTM)
EXTENT = Window(10, 20, 30, 40)


def placed(file: RasterFile) -> None:
    with Placement() as placement:
        file.finish(placement)
        placement.commit()


def test_rasters_cover_the_extent_with_its_place_and_colours(tmp_path):
    file = RasterFile(str(tmp_path / "l.tif"), tmp_path / "spool.tif", GRID, EXTENT, "uint8", 0, {1: "#ff8000"})
    file.tag({"A": "b"})
    file.write(EXTENT, np.full((40, 30), 1, np.uint8))
    placed(file)
    with rasterio.open(tmp_path / "l.tif") as raster:
        assert (raster.width, raster.height, raster.crs.to_epsg()) == (30, 40, 32633)
        assert raster.transform * (0, 0) == (500005, 4999990)
        assert raster.colormap(1)[1] == (255, 128, 0, 255)
        assert raster.tags()["A"] == "b"
        assert (raster.read(1) == 1).all()


def test_bands_have_their_names_and_what_is_never_written_is_nodata(tmp_path):
    file = RasterFile(
        str(tmp_path / "b.tif"), tmp_path / "spool.tif", GRID, EXTENT, "float32", float("nan"), bands=("one", "two")
    )
    values = np.stack([np.full((4, 5), 0.25, np.float32), np.full((4, 5), 0.5, np.float32)])
    file.write(Window(12, 21, 5, 4), values)
    placed(file)
    with rasterio.open(tmp_path / "b.tif") as raster:
        assert raster.descriptions == ("one", "two")
        np.testing.assert_array_equal(raster.read()[:, 1:5, 2:7], values)
        assert np.isnan(raster.read()).sum() == 2 * (30 * 40 - 20)
        assert (raster.profile["tiled"], raster.compression.value) == (True, "DEFLATE")


def test_a_file_that_is_not_asked_for_is_not_made(tmp_path):
    file = RasterFile("", tmp_path / "spool.tif", GRID, EXTENT, "uint8", 0)
    file.tag({"A": "b"})
    file.write(EXTENT, np.full((40, 30), 1, np.uint8))
    placed(file)
    assert list(tmp_path.iterdir()) == []


def test_a_raster_without_a_place_raises_no_warning_of_a_library(tmp_path, recwarn):
    grid = PixelGrid(4, 4, Transform(1, 0, 0, 0, -1, 0))
    placed(RasterFile(str(tmp_path / "l.tif"), tmp_path / "spool.tif", grid, Window(0, 0, 4, 4), "uint8", 0))
    assert [str(warning.message) for warning in recwarn] == []


def test_a_raster_that_is_cut_while_it_is_closed_does_not_replace_a_good_one(tmp_path):
    """GDAL keeps the blocks until then, and says nothing but a line on the standard error."""
    target, extent = tmp_path / "s.tif", Window(0, 0, 100, 80)
    target.write_bytes(b"a good one")
    file = RasterFile(str(target), tmp_path / "spool.tif", GRID, extent, "float32", float("nan"))
    file.write(extent, np.random.default_rng(0).random((80, 100), np.float32))
    with files_end_at(20_000), pytest.raises(EngineError, match=r"was not written whole.*free some space there"):
        placed(file)
    assert target.read_bytes() == b"a good one"
