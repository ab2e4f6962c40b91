"""A rectangle drawn on the map canvas becomes the extent."""

from __future__ import annotations

import pytest
from qgis.core import QgsCoordinateReferenceSystem, QgsRectangle
from qgis.gui import QgsMapCanvas, QgsMapToolPan
from qgis.PyQt.QtCore import QPoint, Qt
from qgis.PyQt.QtTest import QTest

from rs_textseg_plugin.contract.grid import Extent
from rs_textseg_plugin.gui.query.area_tool import AreaTool
from rs_textseg_plugin.gui.query.query_form import QueryForm


@pytest.fixture
def canvas(qgis_app, layer):
    canvas = QgsMapCanvas()
    canvas.resize(400, 400)
    canvas.setDestinationCrs(QgsCoordinateReferenceSystem("EPSG:32633"))
    canvas.setLayers([layer])
    canvas.setExtent(QgsRectangle(500000, 4999960, 500040, 5000000))
    canvas.show()
    return canvas


@pytest.fixture
def tool(canvas, model):
    tool = AreaTool(canvas, model)
    yield tool
    tool.take_away()


def drag(canvas, start: QPoint, stop: QPoint) -> None:
    left = Qt.MouseButton.LeftButton
    QTest.mousePress(canvas.viewport(), left, Qt.KeyboardModifier.NoModifier, start)
    QTest.mouseMove(canvas.viewport(), stop)
    QTest.mouseRelease(canvas.viewport(), left, Qt.KeyboardModifier.NoModifier, stop)


def test_what_is_drawn_is_looked_at_and_the_tool_of_before_comes_back(canvas, tool, model, layer):
    pan = QgsMapToolPan(canvas)
    canvas.setMapTool(pan)
    model.update(layer_id=layer.id(), text="water")
    model.draw_area()
    assert canvas.mapTool() is not pan
    assert model.problems.extent == "Draw a rectangle on the map."
    assert not model.can_run
    drag(canvas, QPoint(100, 100), QPoint(300, 200))
    assert canvas.mapTool() is pan
    assert model.problems.extent == ""
    rectangle, crs = model.area
    extent = model.build_request().scene.extent
    assert crs.authid() == "EPSG:32633"
    assert extent == Extent(rectangle.xMinimum(), rectangle.yMinimum(), rectangle.xMaximum(), rectangle.yMaximum())
    assert (rectangle.width(), rectangle.height()) == pytest.approx((20, 10), abs=0.5)
    assert rectangle.xMinimum() == pytest.approx(500010, abs=0.5)


def test_a_mere_click_draws_nothing(canvas, tool, model):
    model.draw_area()
    drag(canvas, QPoint(100, 100), QPoint(100, 100))
    assert model.area is None


def test_another_extent_takes_its_place_and_it_can_come_back(canvas, tool, model):
    model.draw_area()
    drag(canvas, QPoint(100, 100), QPoint(300, 200))
    drawn = model.area
    model.update(extent_choice="layer")
    assert model.area is None
    model.update(extent_choice="area")
    assert model.area == drawn


def test_it_is_chosen_in_the_form(canvas, tool, model, layer):
    form = QueryForm(model)
    form.extent.setCurrentIndex(form.extent.findData("area"))
    form.extent.activated.emit(form.extent.currentIndex())
    assert canvas.mapTool() is tool._tool
    assert model.state.extent_choice == "area"


def test_nothing_of_it_stays_on_the_canvas(canvas, model):
    before = len(canvas.scene().items())
    tool = AreaTool(canvas, model)
    model.draw_area()
    drag(canvas, QPoint(100, 100), QPoint(300, 200))
    assert len(canvas.scene().items()) > before
    tool.take_away()
    assert model.receivers(model.area_wanted) == 0
    assert canvas.mapTool() is not tool._tool
