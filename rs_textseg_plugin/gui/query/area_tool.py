"""Drawing the rectangle that is looked at on the map canvas."""

from __future__ import annotations

from qgis.core import QgsGeometry, QgsRectangle, QgsWkbTypes
from qgis.gui import QgsMapCanvas, QgsMapToolExtent, QgsRubberBand
from qgis.PyQt.QtCore import QObject
from qgis.PyQt.QtGui import QColor

from rs_textseg_plugin.gui.state.query_model import QueryModel

_COLOUR, _FILL = QColor(220, 60, 20), QColor(220, 60, 20, 20)
_LINE_PX = 2


class AreaTool(QObject):
    """Lets the user draw a rectangle whenever the model wants one, and shows it while it is the extent.

    Args:
        canvas: is drawn on.
        model: is given the rectangle.
    """

    def __init__(self, canvas: QgsMapCanvas, model: QueryModel) -> None:
        super().__init__()
        self._canvas, self._model = canvas, model
        self._before = None
        self._tool = QgsMapToolExtent(canvas)
        self._band = QgsRubberBand(canvas, QgsWkbTypes.GeometryType.PolygonGeometry)
        self._band.setColor(_COLOUR)
        self._band.setFillColor(_FILL)
        self._band.setWidth(_LINE_PX)
        self._tool.extentChanged.connect(self._take)
        model.area_wanted.connect(self._begin)
        model.changed.connect(self._show)

    def take_away(self) -> None:
        """Leave the canvas as it was."""
        self._model.changed.disconnect(self._show)
        self._model.area_wanted.disconnect(self._begin)
        self._end()
        self._canvas.scene().removeItem(self._band)

    def _begin(self) -> None:
        if self._canvas.mapTool() is not self._tool:
            self._before = self._canvas.mapTool()
            self._canvas.setMapTool(self._tool)

    def _take(self, rectangle: QgsRectangle) -> None:
        if rectangle.isEmpty():  # a click, or the tool clearing up
            return
        self._end()
        self._model.take_area(QgsRectangle(rectangle), self._canvas.mapSettings().destinationCrs())

    def _end(self) -> None:
        """Give the canvas the tool back that it had."""
        if self._canvas.mapTool() is self._tool:
            self._canvas.unsetMapTool(self._tool)
            if self._before is not None:
                self._canvas.setMapTool(self._before)

    def _show(self) -> None:
        area = self._model.area
        if area is None:
            self._band.reset(QgsWkbTypes.GeometryType.PolygonGeometry)
        else:
            self._band.setToGeometry(QgsGeometry.fromRect(area[0]), area[1])
