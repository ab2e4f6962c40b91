"""How many pictures a question about a layer takes."""

from __future__ import annotations

from qgis.core import QgsRasterLayer, QgsUnitTypes

from rs_textseg_plugin.contract.grid import TileGrid
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.contract.tables.parameter import Values
from rs_textseg_plugin.contract.tables.pipeline_info import PipelineInfo

_METRES = "meters"
_SWEEP = "sweep"  # the extent in overlapping pictures


def count_views(layer: QgsRasterLayer, scene: Scene, info: PipelineInfo, values: Values) -> int | None:
    """Return about how many pictures are looked at; None where the size of a pixel on the ground is not known here.

    Args:
        layer: the raster.
        scene: made from it.
        info: the method.
        values: of all its parameters, as the engine resolves them.
    """
    view = str(values["view"]) if info.looks_at_whole_views else _SWEEP
    if view == "whole":
        return 1
    coarser = _coarser(layer, scene.ground_resolution_m)
    if coarser is None:
        return None
    extent = scene.extent
    width, height = (extent.xmax - extent.xmin, extent.ymax - extent.ymin) if extent else _size(layer)
    width_px = max(1, round(width / layer.rasterUnitsPerPixelX() / coarser))
    height_px = max(1, round(height / layer.rasterUnitsPerPixelY() / coarser))
    if view == "auto" and max(width_px, height_px) <= int(values["view_px"] or 0):
        return 1
    tiles = TileGrid(width_px, height_px, int(values["tile_px"] or 0), int(values["overlap_px"] or 0))
    return len(tiles.columns) * len(tiles.rows)


def _size(layer: QgsRasterLayer) -> tuple[float, float]:
    return layer.extent().width(), layer.extent().height()


def _coarser(layer: QgsRasterLayer, ground_resolution_m: float | None) -> float | None:
    """Return the side of a working pixel in pixels of the raster; None: not known."""
    if ground_resolution_m is None:
        return 1.0
    if QgsUnitTypes.encodeUnit(layer.crs().mapUnits()) != _METRES:
        return None
    return ground_resolution_m / ((layer.rasterUnitsPerPixelX() + layer.rasterUnitsPerPixelY()) / 2)
