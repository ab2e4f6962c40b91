from __future__ import annotations

import pytest
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransformContext,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
)

from rs_textseg_plugin.contract.errors import SceneError
from rs_textseg_plugin.contract.grid import Extent
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.host.layers.scene_from_layer import LayerSupport, layer_support, scene_from_layer

pytestmark = pytest.mark.usefixtures("qgis_app")
CONTEXT = QgsCoordinateTransformContext()


def crs(code):
    return QgsCoordinateReferenceSystem(code)


def test_a_whole_layer_becomes_its_path_with_the_first_three_bands(raster_file):
    scene = scene_from_layer(QgsRasterLayer(str(raster_file)), CONTEXT)
    assert scene == Scene(str(raster_file), bands=(1, 2, 3))


@pytest.mark.parametrize(("count", "bands"), [(1, (1,)), (2, (1,)), (4, (1, 2, 3))])
def test_the_default_bands_depend_on_how_many_there_are(make_raster, count, bands):
    layer = QgsRasterLayer(str(make_raster("bands.tif", bands=count)))
    assert scene_from_layer(layer, CONTEXT).bands == bands


def test_an_extent_without_a_crs_is_in_that_of_the_layer(raster_file):
    layer = QgsRasterLayer(str(raster_file))
    scene = scene_from_layer(layer, CONTEXT, QgsRectangle(500004, 4999990, 500008, 4999998))
    assert scene.extent == Extent(500004, 4999990, 500008, 4999998)


def test_an_extent_in_another_crs_is_transformed(raster_file):
    layer = QgsRasterLayer(str(raster_file))
    degrees = QgsRectangle(15.0, 45.15, 15.0002, 45.1539)  # 15 degrees east is x = 500000 in zone 33
    extent = scene_from_layer(layer, CONTEXT, degrees, crs("EPSG:4326")).extent
    assert extent.xmin == pytest.approx(500000, abs=0.01)
    assert extent.xmax == pytest.approx(500015.7, abs=0.2)


def test_an_extent_that_does_not_touch_the_layer_is_refused_with_both(raster_file):
    layer = QgsRasterLayer(str(raster_file), "aerial")
    with pytest.raises(SceneError, match=r"does not touch the layer 'aerial', which covers 500000\.00"):
        scene_from_layer(layer, CONTEXT, QgsRectangle(0, 0, 1, 1))


def test_a_view_of_the_whole_world_covers_the_layer_and_no_more(raster_file):
    layer = QgsRasterLayer(str(raster_file))
    world = QgsRectangle(-2e7, -2e7, 2e7, 2e7)
    extent = scene_from_layer(layer, CONTEXT, world, crs("EPSG:3857")).extent
    assert extent == Extent(500000, 4999976, 500032, 5000000)


def test_an_extent_is_cut_to_the_layer(raster_file):
    layer = QgsRasterLayer(str(raster_file))
    extent = scene_from_layer(layer, CONTEXT, QgsRectangle(499000, 4999990, 500010, 6000000)).extent
    assert extent == Extent(500000, 4999990, 500010, 5000000)


def test_an_extent_in_a_crs_where_the_layer_has_no_place_is_refused(make_raster):
    layer = QgsRasterLayer(str(make_raster("pole.tif", epsg=32661)))  # far from zone 33 of the other hemisphere
    layer.setCrs(crs("EPSG:4326"))  # wrong on purpose: 500000 degrees
    with pytest.raises(SceneError, match="cannot be transformed from EPSG:3857 to the layer's CRS EPSG:4326"):
        scene_from_layer(layer, CONTEXT, QgsRectangle(0, 0, 1, 1), crs("EPSG:3857"))


def test_open_options_are_taken_off_the_path(raster_file):
    layer = QgsRasterLayer(f"{raster_file}|option:NUM_THREADS=1")
    assert layer.isValid()
    assert scene_from_layer(layer, CONTEXT).path == str(raster_file)


def test_a_raster_in_a_geopackage_keeps_its_table(tmp_path, raster_file):
    from osgeo import gdal

    gdal.Translate(str(tmp_path / "r.gpkg"), str(raster_file), format="GPKG", creationOptions=["RASTER_TABLE=aerial"])
    layer = QgsRasterLayer(f"GPKG:{tmp_path / 'r.gpkg'}:aerial")
    assert layer.isValid()
    assert scene_from_layer(layer, CONTEXT).path == f"GPKG:{tmp_path / 'r.gpkg'}:aerial"


def test_a_crs_that_only_the_layer_has_is_passed_on(make_raster):
    layer = QgsRasterLayer(str(make_raster("bare.tif", epsg=0)))
    layer.setCrs(crs("EPSG:32633"))
    wkt = scene_from_layer(layer, CONTEXT).crs_wkt
    assert QgsCoordinateReferenceSystem.fromWkt(wkt).authid() == "EPSG:32633"


def test_without_any_crs_none_is_passed_on(make_raster):
    layer = QgsRasterLayer(str(make_raster("bare.tif", epsg=0)))
    layer.setCrs(QgsCoordinateReferenceSystem())
    assert scene_from_layer(layer, CONTEXT).crs_wkt == ""


def test_the_crs_of_the_file_is_left_to_the_engine(raster_file):
    assert scene_from_layer(QgsRasterLayer(str(raster_file)), CONTEXT).crs_wkt == ""


def test_a_supported_layer_is_told_apart_from_the_others(raster_file, tmp_path):
    wms = "type=xyz&url=http://127.0.0.1:9/{z}/{x}/{y}.png&zmax=3&zmin=0"
    found = [
        layer_support(layer)
        for layer in (
            QgsRasterLayer(str(raster_file)),
            None,
            QgsVectorLayer("Point", "points", "memory"),
            QgsRasterLayer(str(tmp_path / "gone.tif")),
            QgsRasterLayer(wms, "tiles", "wms"),
        )
    ]
    assert found == [
        LayerSupport.SUPPORTED,
        LayerSupport.NO_LAYER,
        LayerSupport.NOT_A_RASTER,
        LayerSupport.BROKEN,
        LayerSupport.NOT_A_FILE,
    ]


def test_a_raster_in_the_memory_of_qgis_is_refused_in_words(raster_file):
    from osgeo import gdal

    gdal.Translate("/vsimem/scene.tif", str(raster_file))
    layer = QgsRasterLayer("/vsimem/scene.tif")
    with pytest.raises(SceneError, match="exists only in the memory of QGIS"):
        scene_from_layer(layer, CONTEXT)
