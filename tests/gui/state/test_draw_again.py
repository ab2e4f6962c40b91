"""The answer of a language model, shown, edited and drawn again: the plugin's wiring, with a stand-in as engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from qgis.core import QgsApplication, QgsFeature, QgsGeometry
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import QDockWidget, QLabel, QPushButton

from rs_textseg_plugin.contract.request import Request
from rs_textseg_plugin.gui.state.vlm_choice import VlmChoice
from rs_textseg_plugin.host.layers.result_layers import REQUEST_PROPERTY
from rs_textseg_plugin.host.server.consent import consent
from rs_textseg_plugin.plugin import RsTextSegPlugin

QUESTION = "a roof"


@pytest.fixture
def dock(qgis_iface, layer, tmp_path, fake_interpreter, monkeypatch):
    monkeypatch.setenv("RS_TEXTSEG_ENGINE_PYTHON", str(fake_interpreter))
    plugin = RsTextSegPlugin(qgis_iface)
    plugin.initGui()
    dock = qgis_iface.mainWindow().findChild(QDockWidget, "RsTextSegDock")
    qgis_iface.mainWindow().show()
    dock.show()
    choice = VlmChoice("folder", folder=str(tmp_path))
    dock.model.update(pipeline="vlm-sam", models=str(tmp_path), phrase=QUESTION, vlm=choice)
    yield dock
    plugin.unload()
    QgsApplication.processEvents()


def click(qtbot, dock, name):
    button = dock.findChild(QPushButton, name)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    run = dock.findChild(QPushButton, "run")
    qtbot.waitUntil(lambda: run.isEnabled(), timeout=10_000)


def results(project):
    return [layer for layer in project.mapLayers().values() if layer.name() == f"{QUESTION} (demo models)"]


def layer_named(project, name):
    (layer,) = project.mapLayersByName(name)
    return layer


def test_before_the_first_answer_there_is_nothing_to_draw_again(dock):
    assert not dock.findChild(QPushButton, "drawAgain").isVisible()


def test_words_boxes_and_points_of_the_answer_are_shown(qtbot, dock, project):
    click(qtbot, dock, "run")
    assert dock.findChild(QLabel, "answers").text() == "The model answered:\n1. a grey roof (80 %)"
    assert layer_named(project, f"Boxes: {QUESTION}").featureCount() == 1
    assert layer_named(project, f"Points: {QUESTION}").featureCount() == 2
    assert dock.findChild(QPushButton, "drawAgain").isVisible()


def test_the_edited_answer_is_drawn_and_no_model_is_asked(qtbot, dock, project):
    click(qtbot, dock, "run")
    points = layer_named(project, f"Points: {QUESTION}")
    points.startEditing()
    added = QgsFeature(points.fields())
    added.setGeometry(QgsGeometry.fromWkt("POINT(500020 4999990)"))
    points.addFeature(added)
    first = {layer.id() for layer in results(project)}
    click(qtbot, dock, "drawAgain")
    (second,) = [layer for layer in results(project) if layer.id() not in first]
    request = Request.from_json(json.loads(second.customProperty(REQUEST_PROPERTY)))
    drawn = json.loads(Path(request.recipe.parameters["clicks"]).read_text())
    assert [500020, 4999990] in [feature["geometry"]["coordinates"] for feature in drawn["features"]]
    assert "vlm" not in request.recipe.parameters
    assert request.output.clicks == ""
    assert Path(request.recipe.parameters["clicks"]).parent == Path(request.output.path).parent
    assert points.isEditable()  # nobody's edits are touched
    assert len(project.mapLayersByName(f"Points: {QUESTION}")) == 1


def test_without_anything_left_to_draw_the_user_is_told(qtbot, dock, project, qgis_iface):
    click(qtbot, dock, "run")
    for name in ("Boxes", "Points"):
        layer_named(project, f"{name}: {QUESTION}").dataProvider().truncate()
    click(qtbot, dock, "drawAgain")
    assert len(results(project)) == 1


def test_when_both_layers_are_gone_there_is_nothing_to_draw_again(qtbot, dock, project):
    click(qtbot, dock, "run")
    project.removeMapLayer(layer_named(project, f"Boxes: {QUESTION}").id())
    assert dock.findChild(QPushButton, "drawAgain").isVisible()
    project.removeMapLayer(layer_named(project, f"Points: {QUESTION}").id())
    assert not dock.findChild(QPushButton, "drawAgain").isVisible()


def test_a_configuration_that_cannot_be_read_is_told_and_nothing_runs(qtbot, dock, project):
    consent("http://localhost:1/v1")
    choice = VlmChoice(base_url="http://localhost:1/v1", model="m", authcfg="abc1234")
    dock.model.update(vlm=choice)
    click(qtbot, dock, "run")
    assert results(project) == []
