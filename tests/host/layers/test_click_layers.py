from __future__ import annotations

import json
from dataclasses import replace

import pytest
from qgis.core import QgsFeature, QgsGeometry, QgsProject, edit

from rs_textseg_plugin.contract.errors import OutputError, QueryError
from rs_textseg_plugin.contract.request import Output
from rs_textseg_plugin.host.layers.click_layers import add_click_layers, read_answers, write_clicks
from rs_textseg_plugin.host.layers.result_layers import GROUP_NAME
from rs_textseg_plugin.runtime.worker_process import WorkerProcessClient

pytestmark = pytest.mark.usefixtures("qgis_app")


@pytest.fixture
def project(qgis_app):
    project = QgsProject()
    yield project
    project.clear()


@pytest.fixture
def clicks(tmp_path, fake_interpreter, make_request):
    """A file with a box, a point inside and one outside, as the fake worker writes it."""
    path = tmp_path / "clicks.geojson"
    client, request = WorkerProcessClient(fake_interpreter), make_request("roof")
    *_, finished = client.run(replace(request, output=Output("", clicks=str(path))))
    client.close()
    assert finished.clicks == str(path)
    return path


@pytest.fixture
def layers(project, clicks):
    return add_click_layers(project, str(clicks), "a roof").found_in(project)


def test_boxes_and_points_become_two_layers_in_the_rasters_crs(project, layers):
    boxes, points = layers
    assert (boxes.name(), points.name()) == ("Boxes: a roof", "Points: a roof")
    assert (boxes.crs().authid(), points.crs().authid()) == ("EPSG:32633", "EPSG:32633")
    assert boxes.isTemporary()
    assert points.isTemporary()
    (box,) = boxes.getFeatures()
    assert (box["instance"], box["words"], box["confidence"]) == (1, "a grey roof", 0.8)
    assert box.geometry().boundingBox().toString(0) == "500002,4999994 : 500006,4999998"
    assert [point["kind"] for point in points.getFeatures()] == ["inside", "outside"]


def test_the_points_lie_above_the_boxes_in_the_group(project, layers):
    group = project.layerTreeRoot().findGroup(GROUP_NAME)
    assert [node.name() for node in group.children()] == ["Points: a roof", "Boxes: a roof"]


def test_points_inside_are_green_and_points_outside_are_red_and_of_another_shape(layers):
    categories = layers[1].renderer().categories()
    symbols = [category.symbol().symbolLayer(0) for category in categories]
    assert [category.value() for category in categories] == ["inside", "outside"]
    assert [symbol.color().name() for symbol in symbols] == ["#009e73", "#d50000"]
    assert symbols[0].shape() != symbols[1].shape()


def test_layers_that_nobody_touched_are_written_as_they_came(layers, clicks, tmp_path):
    write_clicks(layers, tmp_path / "again.geojson")
    written, given = (json.loads(path.read_text()) for path in (tmp_path / "again.geojson", clicks))
    assert written == given


def test_what_was_moved_deleted_or_added_is_written_although_it_is_not_saved(layers, tmp_path):
    boxes, points = layers
    boxes.startEditing()
    (box,) = boxes.getFeatures()
    moved = QgsGeometry(box.geometry())
    moved.translate(1, 0)
    boxes.changeGeometry(box.id(), moved)
    points.startEditing()
    points.deleteFeatures([point.id() for point in points.getFeatures() if point["kind"] == "outside"])
    new = QgsFeature(points.fields())
    new.setGeometry(QgsGeometry.fromWkt("POINT(500020 4999990)"))
    points.addFeature(new)
    write_clicks(layers, tmp_path / "edited.geojson")
    features = json.loads((tmp_path / "edited.geojson").read_text())["features"]
    assert [feature["properties"]["kind"] for feature in features] == ["box", "inside", "inside"]
    assert features[0]["geometry"]["coordinates"][0][0] == [500003, 4999998]
    own = next(feature for feature in features if feature["properties"]["instance"] is None)
    assert own["geometry"]["coordinates"] == [500020, 4999990]


def test_a_new_feature_is_of_its_layers_kind(layers):
    assert layers[0].defaultValueDefinition(0).expression() == "'box'"
    assert layers[1].defaultValueDefinition(0).expression() == "'inside'"


def test_layers_without_anything_to_draw_are_refused(layers, tmp_path):
    for layer in layers:
        with edit(layer):
            layer.deleteFeatures(layer.allFeatureIds())
    with pytest.raises(QueryError, match="no box and no point left"):
        write_clicks(layers, tmp_path / "empty.geojson")
    assert not (tmp_path / "empty.geojson").exists()


def test_a_folder_that_is_gone_is_told(layers, tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        write_clicks(layers, tmp_path / "gone" / "x.geojson")


def test_one_of_the_layers_may_be_gone(project, clicks, tmp_path):
    both = add_click_layers(project, str(clicks), "a roof")
    project.removeMapLayer(both.boxes)
    left = both.found_in(project)
    write_clicks(left, tmp_path / "points.geojson")
    assert len(json.loads((tmp_path / "points.geojson").read_text())["features"]) == 2


def test_what_the_model_said_is_read_once_for_each_object(clicks):
    assert read_answers(str(clicks)) == ["a grey roof (80 %)"]


def test_an_answer_without_words_and_confidence_is_called_so(tmp_path):
    (tmp_path / "a.geojson").write_text('{"features": [{"properties": {"kind": "box", "instance": 1, "words": ""}}]}')
    assert read_answers(str(tmp_path / "a.geojson")) == ["without words"]


@pytest.mark.parametrize("content", [None, "nonsense"])
def test_a_file_that_cannot_be_read_is_told(tmp_path, content):
    if content:
        (tmp_path / "a.geojson").write_text(content)
    with pytest.raises(QueryError, match="cannot be read"):
        read_answers(str(tmp_path / "a.geojson"))
