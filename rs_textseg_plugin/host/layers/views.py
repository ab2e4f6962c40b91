"""How many pictures a question about a layer takes."""

from __future__ import annotations

from collections.abc import Mapping

from qgis.core import QgsRasterLayer, QgsUnitTypes

from rs_textseg_plugin.contract.grid import TileGrid
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.contract.tables.parameter import ParameterValue

_METRES = "meters"


def count_views(layer: QgsRasterLayer, scene: Scene, parameters: Mapping[str, ParameterValue]) -> int | None:
    """Return about how many pictures are looked at; None where the size of a pixel on the ground is not known here.

    Args:
        layer: the raster.
        scene: made from it.
        parameters: all of the recipe's: ``view``, ``view_px``, ``tile_px``, ``overlap_px``.
    """
    if parameters["view"] == "whole":
        return 1
    coarser = _coarser(layer, scene.ground_resolution_m)
    if coarser is None:
        return None
    extent = scene.extent
    width, height = (extent.xmax - extent.xmin, extent.ymax - extent.ymin) if extent else _size(layer)
    width_px = max(1, round(width / layer.rasterUnitsPerPixelX() / coarser))
    height_px = max(1, round(height / layer.rasterUnitsPerPixelY() / coarser))
    if parameters["view"] == "auto" and max(width_px, height_px) <= int(parameters["view_px"] or 0):
        return 1
    tiles = TileGrid(width_px, height_px, int(parameters["tile_px"] or 0), int(parameters["overlap_px"] or 0))
    return len(tiles.columns) * len(tiles.rows)


def _size(layer: QgsRasterLayer) -> tuple[float, float]:
    return layer.extent().width(), layer.extent().height()


def _coarser(layer: QgsRasterLayer, ground_resolution_m: float | None) -> float | None:
    """Return how many of the raster's pixels make a working pixel, along an axis."""
    if ground_resolution_m is None:
        return 1.0
    if QgsUnitTypes.encodeUnit(layer.crs().mapUnits()) != _METRES:
        return None
    return ground_resolution_m / ((layer.rasterUnitsPerPixelX() + layer.rasterUnitsPerPixelY()) / 2)
