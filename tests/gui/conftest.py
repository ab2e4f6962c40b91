from __future__ import annotations

import pytest
from qgis.core import QgsCoordinateReferenceSystem, QgsProject, QgsRasterLayer, QgsRectangle, QgsSettings

from rs_textseg_plugin.gui.query_model import QueryModel
from rs_textseg_plugin.host.settings import PREFIX


@pytest.fixture(autouse=True)
def nothing_remembered(qgis_app):
    QgsSettings().remove(PREFIX)
    yield
    QgsSettings().remove(PREFIX)


@pytest.fixture(autouse=True)
def own_lists(tmp_path, monkeypatch):
    """No class lists of one's own but those that a test saves."""
    monkeypatch.setattr("rs_textseg_plugin.contract.word_list.data_home", lambda: tmp_path / "data")


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
