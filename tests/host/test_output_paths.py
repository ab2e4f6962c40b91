from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from qgis.core import QgsProject

from rs_textseg_plugin.contract.errors import OutputError
from rs_textseg_plugin.host.output_paths import default_output_path, make_folder_for, slug

pytestmark = pytest.mark.usefixtures("qgis_app")
NOON = datetime(2026, 11, 20, 12, 0, 5)


@pytest.fixture
def saved_project(tmp_path):
    project = QgsProject()
    project.write(str(tmp_path / "map.qgz"))
    return project


def test_results_lie_beside_a_saved_project(saved_project, tmp_path):
    path = default_output_path(saved_project, "building|roof, road", NOON)
    assert path == tmp_path / "rs_textseg" / "20261120-120005_building-roof-road.gpkg"


def test_results_of_a_new_project_lie_in_the_documents(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    path = default_output_path(QgsProject(), "road", NOON)
    assert path == tmp_path / "Documents" / "rs_textseg" / "20261120-120005_road.gpkg"


def test_a_file_that_exists_is_never_named(saved_project):
    first = default_output_path(saved_project, "road", NOON)
    make_folder_for(first)
    first.touch()
    second = default_output_path(saved_project, "road", NOON)
    second.touch()
    assert second.name == "20261120-120005_road-2.gpkg"
    assert default_output_path(saved_project, "road", NOON).name == "20261120-120005_road-3.gpkg"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Gebäude, Straße", "gebaude-strae"),
        ("../../etc", "etc"),
        ("道路", "query"),
        ("a" * 100, "a" * 40),
        ("x" * 39 + ", y", "x" * 39),
    ],
)
def test_any_text_becomes_a_file_name(text, name):
    assert slug(text) == name


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be made"):
        make_folder_for(Path(tmp_path / "file" / "rs_textseg" / "a.gpkg"))
