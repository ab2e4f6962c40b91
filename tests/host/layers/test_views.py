from __future__ import annotations

import dataclasses

import pytest
from qgis.core import QgsRasterLayer

from rs_textseg_plugin.contract.grid import Extent
from rs_textseg_plugin.contract.recipe import PIPELINES, Recipe
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.host.layers.views import count_views

pytestmark = pytest.mark.usefixtures("qgis_app")
SCENE = Scene("scene.tif")
ASKING = PIPELINES["vlm-sam"]
SWEEP = {"view": "sweep", "view_px": 1024, "tile_px": 32, "overlap_px": 8}


@pytest.fixture
def layer(raster_file):
    return QgsRasterLayer(str(raster_file))  # 64 x 48 pixels of 0.5 m


def test_a_whole_view_is_one_picture(layer):
    assert count_views(layer, SCENE, ASKING, {**SWEEP, "view": "whole"}) == 1


@pytest.mark.parametrize(("view_px", "count"), [(64, 1), (63, 6)])
def test_an_extent_that_fits_is_one_picture_and_another_is_swept(layer, view_px, count):
    assert count_views(layer, SCENE, ASKING, {**SWEEP, "view": "auto", "view_px": view_px}) == count


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({}, 6),
        ({"ground_resolution_m": 1.0}, 1),
        ({"ground_resolution_m": 0.25}, 5 * 4),
        ({"extent": Extent(500000, 4999990, 500016, 5000000)}, 1),
        ({"extent": Extent(500000, 4999990, 500017, 5000000)}, 2),
    ],
)
def test_pictures_are_counted_on_the_working_grid(layer, changes, count):
    assert count_views(layer, dataclasses.replace(SCENE, **changes), ASKING, SWEEP) == count


def test_where_a_pixel_has_no_metres_here_the_number_is_not_known(make_raster):
    layer = QgsRasterLayer(str(make_raster("degrees.tif", epsg=4326)))
    assert count_views(layer, SCENE, ASKING, SWEEP) == 6
    assert count_views(layer, dataclasses.replace(SCENE, ground_resolution_m=1.0), ASKING, SWEEP) is None


def test_a_method_that_never_looks_at_a_whole_view_is_counted_in_tiles(layer):
    values = {**Recipe("sam-clip").checked_parameters(), "tile_px": 32, "overlap_px": 8}
    assert count_views(layer, SCENE, PIPELINES["sam-clip"], values) == 6
