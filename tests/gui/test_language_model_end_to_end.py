"""A question to a language model behind a real server, and its edited answer: the plugin's wiring, the real engine."""

from __future__ import annotations

import json

from openai_server import OpenAiServer, says
from qgis.core import QgsFeature, QgsGeometry
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import QLabel, QPushButton

from rs_textseg_plugin.gui.state.vlm_choice import VlmChoice
from rs_textseg_plugin.host.server.consent import consent


def test_the_answer_of_a_language_model_is_drawn_again_after_it_was_edited(qtbot, plugin_dock, run_until_done, project):
    roof = {"label": "a grey roof", "box": [5, 5, 30, 25], "inside": [[15, 15]], "outside": [], "confidence": 0.9}
    with OpenAiServer(says(json.dumps({"instances": [roof]}))) as server:
        consent(server.base_url)
        model = plugin_dock.model
        model.update(pipeline="vlm-sam", phrase="a roof", vlm=VlmChoice(base_url=server.base_url, model="scripted"))
        run_until_done(plugin_dock)
        (boxes,) = project.mapLayersByName("Boxes: a roof")
        boxes.startEditing()
        added = QgsFeature(boxes.fields())
        added.setGeometry(QgsGeometry.fromWkt("POLYGON((500020 4999995,500028 4999995,500028 4999985,500020 4999985))"))
        boxes.addFeature(added)
        qtbot.mouseClick(plugin_dock.findChild(QPushButton, "drawAgain"), Qt.MouseButton.LeftButton)
        qtbot.waitUntil(plugin_dock.findChild(QPushButton, "run").isEnabled, timeout=60_000)
    assert plugin_dock.findChild(QLabel, "failure").text() == ""
    assert "2 objects of a file are drawn." in plugin_dock.findChild(QLabel, "notes").text()
    assert len(server.received) == 1
