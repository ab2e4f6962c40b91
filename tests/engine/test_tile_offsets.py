"""The same pixels somewhere else in a larger, empty raster give about the same polygons."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from osgeo import gdal
from rasterio.windows import Window

from rs_textseg_plugin.contract.events import Finished
from rs_textseg_plugin.contract.query import parse_class_list
from rs_textseg_plugin.contract.recipe import Recipe
from rs_textseg_plugin.contract.request import Output, Request
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.engine.service import Engine
from stage import ROOT

CROP = Window(1664, 224, 256, 256)
EMPTY_PX = 4000


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


@pytest.fixture(scope="module")
def crop(tmp_path_factory) -> Path:
    """A part of the sample scene, as a raster of its own."""
    path = tmp_path_factory.mktemp("crop") / "crop.tif"
    area = [CROP.col_off, CROP.row_off, CROP.width, CROP.height]
    gdal.Translate(str(path), str(ROOT / "resources" / "demo" / "scene.tif"), srcWin=area)
    return path


def inside_empty_raster(crop: Path, path: Path, col: int, row: int) -> Path:
    """A VRT that is black but for the crop."""
    with rasterio.open(crop) as dataset:
        left, pixel, top = dataset.transform.c, dataset.transform.a, dataset.transform.f
    west, north = left - col * pixel, top + row * pixel
    bounds = (west, north - EMPTY_PX * pixel, west + EMPTY_PX * pixel, north)
    gdal.BuildVRT(str(path), [str(crop)], outputBounds=bounds).FlushCache()
    text = path.read_text()
    path.write_text(text.replace("<NoDataValue>", "<!--").replace("</NoDataValue>", "-->"))
    return path


def areas_m2(engine: Engine, raster: Path, folder: Path, pipeline: str, **parameters) -> dict[str, float]:
    """Area by class; the labels of all pixels are written to ``labels.tif``."""
    query = parse_class_list("building, road, water")
    output = Output(str(folder / "out.gpkg"), str(folder / "labels.tif"))
    recipe = Recipe(pipeline, parameters=parameters)
    finished = list(engine.run(Request(Scene(str(raster)), query, recipe, output), lambda: False))[-1]
    assert isinstance(finished, Finished)
    return {row.name: row.area_m2 for row in finished.classes}


def test_a_crop_that_lies_in_a_single_tile_gives_exactly_what_it_gives_alone(engine, crop, tmp_path):
    col, row, whole = 100, 230, {"tile_px": 1024, "upsampling": "bilinear"}
    assert areas_m2(engine, crop, tmp_path, "segearth-ov", **whole)["building"] > 100
    with rasterio.open(tmp_path / "labels.tif") as file:
        alone = file.read(1)
    large = inside_empty_raster(crop, tmp_path / "large.vrt", col, row)
    areas_m2(engine, large, tmp_path, "segearth-ov", **whole)
    with rasterio.open(tmp_path / "labels.tif") as file:
        inside = file.read(1)
    np.testing.assert_array_equal(inside[row : row + 256, col : col + 256], alone)
    assert np.count_nonzero(inside) == np.count_nonzero(alone)


def test_a_crop_that_tile_lines_cut_gives_about_what_it_gives_alone(engine, crop, tmp_path):
    """Models see other pictures of its parts, so that it cannot be the same (docs/decisions/0003-tile-grid.md)."""
    large = inside_empty_raster(crop, tmp_path / "large.vrt", 640, 640)
    alone, inside = (areas_m2(engine, path, tmp_path, "sam-clip", points_per_side=12) for path in (crop, large))
    assert alone["building"] > 200
    assert inside == pytest.approx(alone, rel=0.1)
