"""What the versions of Qt and QGIS keep in different places."""

from __future__ import annotations

from typing import Any

from qgis.core import Qgis, QgsMapLayerProxyModel

try:
    from qgis.PyQt.QtWidgets import QAction
except ImportError:  # Qt 6, where a build of QGIS does not offer it under the old name
    from qgis.PyQt.QtGui import QAction

__all__ = ["QAction", "RASTER_LAYERS"]

_LAYER_FILTER: Any = getattr(Qgis, "LayerFilter", None) or QgsMapLayerProxyModel.Filter  # the first since QGIS 3.34
RASTER_LAYERS = _LAYER_FILTER.RasterLayer
