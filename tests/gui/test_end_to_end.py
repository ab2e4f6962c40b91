"""From a typed class list to a layer in the project: the plugin's own wiring and the real engine."""

from __future__ import annotations

import json

from qgis.core import QgsPointXY
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import (
    QComboBox,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QRadioButton,
    QTableWidget,
)

from rs_textseg_plugin.contract.request import Request
from rs_textseg_plugin.host.layers.result_layers import REQUEST_PROPERTY


def test_a_typed_class_list_becomes_a_layer_in_the_project(qtbot, plugin_dock, project, tmp_path):
    qtbot.keyClicks(plugin_dock.findChild(QPlainTextEdit, "text"), "road, water, *")
    qtbot.mouseClick(plugin_dock.findChild(QPushButton, "run"), Qt.MouseButton.LeftButton)
    table = plugin_dock.findChild(QTableWidget, "results")
    qtbot.waitUntil(lambda: table.rowCount() > 0, timeout=60_000)
    assert [table.item(row, 0).text() for row in range(table.rowCount())] == ["road", "water", "everything else"]
    (segments,) = project.mapLayersByName("road, water, *")
    assert segments.featureCount() == sum(int(table.item(row, 1).text()) for row in range(table.rowCount()))
    request = Request.from_json(json.loads(segments.customProperty(REQUEST_PROPERTY)))
    assert request.recipe.parameters == {"points_per_side": 2}
    assert request.output.path.startswith(str(tmp_path / "rs_textseg"))


def test_a_heat_map_becomes_a_raster_layer(qtbot, plugin_dock, run_until_done, project):
    choose(plugin_dock, "surgery-sam")
    plugin_dock.findChild(QComboBox, "parameter_result").setCurrentText("heat")
    competitor = plugin_dock.findChild(QLineEdit, "parameter_competitor")
    competitor.clear()
    qtbot.keyClicks(competitor, "background")
    qtbot.keyClicks(plugin_dock.findChild(QPlainTextEdit, "text"), "road")
    run_until_done(plugin_dock)
    (heat,) = [layer for layer in project.mapLayers().values() if layer.name() == "Heat: road"]
    values, _ = heat.dataProvider().sample(QgsPointXY(500010, 4999990), 1)
    assert 0 <= values <= 1


def test_a_phrase_is_answered_and_the_result_says_how_it_was_read(qtbot, plugin_dock, run_until_done):
    choose(plugin_dock, "surgery-sam")
    qtbot.mouseClick(plugin_dock.findChild(QRadioButton, "ask_phrase"), Qt.MouseButton.LeftButton)
    qtbot.keyClicks(plugin_dock.findChild(QPlainTextEdit, "text"), "the largest road near water")
    run_until_done(plugin_dock)
    read = "The phrase was read as: the largest 'road' within 50 m of 'water'."
    assert read in plugin_dock.findChild(QLabel, "notes").text()


def choose(dock, pipeline):
    method = dock.findChild(QComboBox, "method")
    method.setCurrentIndex(method.findData(pipeline))
