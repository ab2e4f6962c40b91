"""A raster layer of QGIS becomes a `Scene`: plain values that the engine can open without QGIS."""

from __future__ import annotations

from enum import Enum

from qgis.core import (
    Qgis,
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsCoordinateTransformContext,
    QgsCsException,
    QgsMapLayer,
    QgsProviderRegistry,
    QgsRasterLayer,
    QgsRectangle,
)

from rs_textseg_plugin.contract.errors import SceneError
from rs_textseg_plugin.contract.grid import Extent
from rs_textseg_plugin.contract.scene import Scene, default_bands


class LayerSupport(Enum):
    """Whether a layer can be segmented; the value is the sentence that says why not."""

    SUPPORTED = ""
    NO_LAYER = "Choose a raster layer."
    NOT_A_RASTER = "The layer is no raster: choose a raster layer."
    BROKEN = "The layer's file cannot be read: repair the layer's source, or choose another layer."
    NOT_A_FILE = (
        "The layer comes from a service (WMS, XYZ tiles, ...), and only raster files can be segmented: "
        "export the layer to a GeoTIFF and choose that."
    )
    IN_MEMORY = (
        "The layer exists only in the memory of QGIS, where the engine cannot read it: "
        "save the layer to a file and choose that."
    )


def layer_support(layer: QgsMapLayer | None) -> LayerSupport:
    """Return whether `layer` can be segmented."""
    if layer is None:
        return LayerSupport.NO_LAYER
    if not isinstance(layer, QgsRasterLayer):
        return LayerSupport.NOT_A_RASTER
    if layer.providerType() != "gdal" or layer.source().lstrip().startswith("<"):
        return LayerSupport.NOT_A_FILE
    if not layer.isValid():
        return LayerSupport.BROKEN
    if layer.source().startswith(("/vsimem/", "MEM:")):
        return LayerSupport.IN_MEMORY
    return LayerSupport.SUPPORTED


def scene_from_layer(
    layer: QgsRasterLayer,
    transform_context: QgsCoordinateTransformContext,
    extent: QgsRectangle | None = None,
    extent_crs: QgsCoordinateReferenceSystem | None = None,
) -> Scene:
    """Return the scene that a layer shows, with its default bands. To be called in the layer's thread.

    Args:
        layer: one that `layer_support` calls supported.
        transform_context: of the project.
        extent: the part to look at; None: all of it.
        extent_crs: CRS of `extent`; None: the layer's.

    Raises:
        SceneError: the layer is not supported, or the extent does not touch it.
    """
    support = layer_support(layer)
    if support is not LayerSupport.SUPPORTED:
        raise SceneError(support.value)
    to_layer = QgsCoordinateTransform(extent_crs or layer.crs(), layer.crs(), transform_context)
    return Scene(
        path=_gdal_name(layer),
        bands=default_bands(layer.bandCount()),
        extent=None if extent is None else _extent_on_layer(layer, extent, to_layer),
        crs_wkt=_crs_that_the_file_lacks(layer),
    )


def _gdal_name(layer: QgsRasterLayer) -> str:
    """Return the name that GDAL opens: the layer's source without the open options that QGIS appends."""
    source = str(layer.source())
    parts = QgsProviderRegistry.instance().decodeUri("gdal", source)
    is_plain = not parts.get("layerName") and not parts.get("vsiPrefix")
    # A table in a GeoPackage or a file in an archive is part of the name, and QGIS would take it off.
    return str(parts["path"]) if is_plain else source.split("|option:")[0]


def _crs_that_the_file_lacks(layer: QgsRasterLayer) -> str:
    return "" if layer.dataProvider().crs().isValid() else str(layer.crs().toWkt())


def _extent_on_layer(layer: QgsRasterLayer, extent: QgsRectangle, to_layer: QgsCoordinateTransform) -> Extent:
    moved = _transformed_part(layer, extent, to_layer)
    if moved.isEmpty():
        raise SceneError(
            f"The extent {extent.toString(2)} ({to_layer.sourceCrs().authid()}) does not touch the layer "
            f"{layer.name()!r}, which covers {layer.extent().toString(2)} ({layer.crs().authid()}): "
            "choose another extent."
        )
    return Extent(moved.xMinimum(), moved.yMinimum(), moved.xMaximum(), moved.yMaximum())


def _transformed_part(layer: QgsRasterLayer, extent: QgsRectangle, to_layer: QgsCoordinateTransform) -> QgsRectangle:
    """Return the part of the layer that the extent covers, in the layer's CRS; empty where there is none.

    The two are cut where the extent is at home: a view of the whole world has no place in a UTM zone, while the
    layer has one in every CRS that it can be seen in.
    """
    try:
        around = to_layer.transformBoundingBox(layer.extent(), Qgis.TransformDirection.Reverse)
        common = around.intersect(extent)
        # Newer versions of QGIS fail to transform an empty rectangle.
        return common if common.isEmpty() else to_layer.transformBoundingBox(common).intersect(layer.extent())
    except QgsCsException as error:
        raise SceneError(
            f"The extent {extent.toString(2)} cannot be transformed from {to_layer.sourceCrs().authid()} to the "
            f"layer's CRS {to_layer.destinationCrs().authid()} ({error}): choose another extent."
        ) from error
