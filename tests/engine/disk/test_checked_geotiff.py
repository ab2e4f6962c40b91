"""A GeoTIFF that lost a part on its way to the disk is found out."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from small_disk import files_end_at

from rs_textseg_plugin.contract.errors import EngineError
from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.engine.disk.checked_geotiff import CheckedGeoTiff

EXTENT = Window(10, 20, 600, 500)
PIXELS = np.random.default_rng(0).random((500, 600), np.float32)
PLACE = {"transform": rasterio.Affine.scale(2)}


def written(path, **options) -> CheckedGeoTiff:
    file = CheckedGeoTiff(path, EXTENT, "float32", **PLACE, **options)
    file.tag({"WORDS": "b" * 3000})
    for row in range(0, 500, 100):
        file.write(Window(10, 20 + row, 600, 100), PIXELS[row : row + 100])
    return file


@pytest.mark.parametrize("sparse", [True, False])
def test_a_file_that_ends_anywhere_is_told_in_one_sentence(tmp_path, sparse, subtests):
    written(tmp_path / "whole.tif", sparse_ok=sparse).finish()
    whole = (tmp_path / "whole.tif").stat().st_size
    for size in (100, 3000, 4000, 300_000, whole - 10_000, whole - 1):
        with subtests.test(size=size), files_end_at(size):
            with pytest.raises(EngineError, match=r"cut\.tif.*(disk is full|not written whole).*free some space"):
                written(tmp_path / "cut.tif", sparse_ok=sparse).finish()
            (tmp_path / "cut.tif").unlink(missing_ok=True)
    with files_end_at(whole):
        written(tmp_path / "cut.tif", sparse_ok=sparse).finish()


def test_a_byte_that_is_not_what_was_written_is_found(tmp_path):
    file = written(tmp_path / "a.tif", compress=None)
    file.close()
    with (tmp_path / "a.tif").open("r+b") as raw:
        raw.seek(100_000)
        raw.write(b"\x7f")
    with pytest.raises(EngineError, match="pixels are missing"):
        file.finish()


def test_a_file_of_which_a_part_was_never_written_is_whole(tmp_path):
    file = CheckedGeoTiff(tmp_path / "a.tif", EXTENT, "float32", nodata=float("nan"), **PLACE)
    file.write(Window(15, 25, 7, 8), PIXELS[:8, :7])
    file.finish()
    with rasterio.open(tmp_path / "a.tif") as raster:
        np.testing.assert_array_equal(raster.read(1)[5:13, 5:12], PIXELS[:8, :7])
