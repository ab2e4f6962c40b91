from __future__ import annotations

import pytest
from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsSettings,
)
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import QComboBox, QDockWidget, QLabel, QPushButton, QWidget

from rs_textseg_plugin.gui.state.query_model import QueryModel
from rs_textseg_plugin.host.settings import PREFIX
from rs_textseg_plugin.plugin import RsTextSegPlugin


@pytest.fixture(autouse=True)
def nothing_remembered(qgis_app):
    QgsSettings().remove(PREFIX)
    yield
    QgsSettings().remove(PREFIX)


@pytest.fixture(autouse=True)
def own_lists(tmp_path, monkeypatch):
    """No class lists of one's own but those that a test saves."""
    monkeypatch.setattr("rs_textseg_plugin.contract.text.word_list.data_home", lambda: tmp_path / "data")


@pytest.fixture
def project(qgis_app, tmp_path):
    """The project that combo boxes look at, saved, with one raster layer."""
    project = QgsProject.instance()
    project.write(str(tmp_path / "map.qgz"))
    yield project
    project.clear()


@pytest.fixture
def layer(project, raster_file):
    layer = QgsRasterLayer(str(raster_file), "aerial")
    project.addMapLayer(layer)
    return layer


@pytest.fixture
def model(project):
    """A model whose map canvas shows 10 m x 10 m in the middle of the raster."""
    view = QgsRectangle(500010, 4999980, 500020, 4999990)
    return QueryModel(project, lambda: (view, QgsCoordinateReferenceSystem("EPSG:32633")))


@pytest.fixture
def plugin_dock(qgis_iface, layer, tiny_models):
    """The dock of the plugin as QGIS starts it, with the real engine and small models."""
    plugin = RsTextSegPlugin(qgis_iface)
    plugin.initGui()
    dock = qgis_iface.mainWindow().findChild(QDockWidget, "RsTextSegDock")
    qgis_iface.mainWindow().show()
    dock.show()
    dock.findChild(QComboBox, "models").setEditText(str(tiny_models))
    dock.findChild(QWidget, "parameter_points_per_side").setValue(2)
    yield dock
    plugin.unload()
    QgsApplication.processEvents()


@pytest.fixture
def run_until_done(qtbot):
    """Press Run, and wait for the result."""

    def run_until_done(dock):
        qtbot.mouseClick(dock.findChild(QPushButton, "run"), Qt.MouseButton.LeftButton)
        words = dock.findChild(QLabel, "resultWords")
        qtbot.waitUntil(lambda: words.isVisible() and bool(words.text()), timeout=60_000)

    return run_until_done
