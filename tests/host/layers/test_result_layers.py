from __future__ import annotations

import json
from dataclasses import replace

import pytest
from qgis.core import QgsLayerTreeGroup, QgsProject, QgsRasterLayer

from rs_textseg_plugin.contract.errors import OutputError
from rs_textseg_plugin.contract.events import Finished
from rs_textseg_plugin.contract.request import Request
from rs_textseg_plugin.contract.text.phrase import parse_referring_expression
from rs_textseg_plugin.host.layers.result_layers import GROUP_NAME, REQUEST_PROPERTY, add_rasters, add_result
from rs_textseg_plugin.runtime.worker_process import WorkerProcessClient

pytestmark = pytest.mark.usefixtures("qgis_app")


@pytest.fixture
def project(qgis_app):
    project = QgsProject()
    yield project
    project.clear()


@pytest.fixture
def run(fake_interpreter, make_request, tmp_path):
    """Run a query against the fake worker, which writes a real GeoPackage; return how it ended and the request."""
    client = WorkerProcessClient(fake_interpreter)

    def run(text="building|roof, road, -shadow", name="result.gpkg", **more):
        request = make_request(text, output=str(tmp_path / name))
        request = replace(
            request, **{field: replace(getattr(request, field), **values) for field, values in more.items()}
        )
        *_, finished = client.run(request)
        return finished, request

    yield run
    client.close()


def test_a_result_becomes_a_layer_with_its_features(project, run):
    layer = add_result(project, *run())
    assert layer.featureCount() == 2
    assert project.mapLayer(layer.id()) is layer


def test_the_layer_lies_in_a_group_at_the_top_that_is_made_once(project, run, raster_file):
    raster = QgsRasterLayer(str(raster_file), "aerial")
    project.addMapLayer(raster)
    add_result(project, *run("road", "a.gpkg"))
    add_result(project, *run("water", "b.gpkg"))
    children = project.layerTreeRoot().children()
    assert [child.name() for child in children] == [GROUP_NAME, "aerial"]
    assert isinstance(children[0], QgsLayerTreeGroup)
    assert [child.name() for child in children[0].children()] == ["water (demo models)", "road (demo models)"]


def test_the_crs_of_the_project_stays_as_it_is(project, run):
    before = project.crs().authid()
    layer = add_result(project, *run())
    assert layer.crs().authid() == "EPSG:32633"
    assert project.crs().authid() == before


def test_a_long_query_is_shortened_in_the_name_of_the_layer(project, run):
    finished, request = run("building, road, water, tree, grass, bare soil, car")
    layer = add_result(project, Finished(finished.path, finished.classes), request)
    assert layer.name() == "building, road, water, tree, grass, bar…"
    assert len(layer.name()) == 40


def test_each_class_has_its_colour_with_a_see_through_fill_and_a_darker_outline(project, run):
    layer = add_result(project, *run())
    renderer = layer.renderer()
    assert renderer.classAttribute() == "class"
    categories = renderer.categories()  # kept: a symbol dies with its category
    assert [category.value() for category in categories] == ["building", "road"]
    simple_fill = categories[0].symbol().symbolLayer(0)
    assert simple_fill.fillColor().name() == "#d7301f"
    assert 0 < simple_fill.fillColor().alpha() < 255
    assert simple_fill.strokeColor().lightness() < simple_fill.fillColor().lightness()


def test_the_request_can_be_read_back_from_the_layer_and_is_in_its_history(project, run):
    finished, request = run()
    layer = add_result(project, finished, request)
    written = layer.customProperty(REQUEST_PROPERTY)
    assert Request.from_json(json.loads(written)) == request
    assert written in layer.metadata().history()[0]


def test_the_abstract_says_what_was_asked_and_that_the_models_are_for_demonstration(project, run):
    finished, request = run()
    abstract = add_result(project, finished, request).metadata().abstract()
    assert "Segmented by text: building|roof, road, -shadow" in abstract
    assert "demo models" in abstract
    assert "A note." in abstract


def test_a_result_of_real_models_does_not_mention_the_demo(project, run):
    finished, request = run()
    layer = add_result(project, Finished(finished.path, finished.classes), request)
    assert "demo" not in layer.name() + layer.metadata().abstract()


def test_a_result_that_cannot_be_loaded_is_told_with_its_path(project, make_request, tmp_path):
    with pytest.raises(OutputError, match=r"gone\.gpkg' was written and cannot be loaded"):
        add_result(project, Finished(str(tmp_path / "gone.gpkg"), ()), make_request())


@pytest.fixture
def rasters(tmp_path):
    return {"label_raster": str(tmp_path / "labels.tif"), "score_raster": str(tmp_path / "scores.tif")}


def nodes(project):
    return project.layerTreeRoot().findGroup(GROUP_NAME).children()


def test_rasters_lie_below_the_polygons_and_are_not_drawn_at_first(project, run, rasters):
    finished, request = run("road, water", output=rasters)
    add_result(project, finished, request)
    add_rasters(project, finished, request)
    name = "road, water (demo models)"
    assert [node.name() for node in nodes(project)] == [name, f"Labels: {name}", f"Scores: {name}"]
    assert [node.itemVisibilityChecked() for node in nodes(project)] == [True, False, False]


def test_a_raster_carries_the_request(project, run, rasters):
    finished, request = run("road", output=rasters)
    layers = add_rasters(project, finished, request)
    assert [Request.from_json(json.loads(layer.customProperty(REQUEST_PROPERTY))) for layer in layers] == [request] * 2


def test_a_label_raster_has_the_names_and_colours_of_the_classes(project, run, rasters):
    finished, request = run("road, -shadow, water", output=rasters)
    classes = add_rasters(project, finished, request)[0].renderer().classes()
    specs = request.query.output_classes
    assert [(entry.value, entry.label, entry.color.name()) for entry in classes] == [
        (1, "road", specs[0].colour),
        (2, "water", specs[1].colour),
    ]


def test_scores_run_from_see_through_to_red(project, run, rasters):
    renderer = add_rasters(project, *run("road", output=rasters))[1].renderer()
    items = renderer.shader().rasterShaderFunction().colorRampItemList()
    assert (items[0].value, items[0].color.alpha()) == (0.0, 0)
    assert (items[-1].value, items[-1].color.name()) == (1.0, "#bd0026")
    assert items[-1].color.alpha() > 200


def test_a_heat_map_is_called_so_and_drawn(project, run, rasters):
    recipe = {"pipeline": "surgery-sam", "parameters": {"result": "heat"}}
    finished, request = run("road", output={"score_raster": rasters["score_raster"]}, recipe=recipe)
    add_rasters(project, finished, request)
    (node,) = nodes(project)
    assert node.name() == "Heat: road (demo models)"
    assert node.itemVisibilityChecked()


def test_a_result_without_rasters_adds_none(project, run):
    assert add_rasters(project, *run()) == []
    assert project.mapLayers() == {}


def test_a_raster_that_cannot_be_loaded_is_told_with_its_path(project, make_request, tmp_path):
    with pytest.raises(OutputError, match=r"gone\.tif' was written and cannot be loaded"):
        add_rasters(project, Finished("x.gpkg", (), score_raster=str(tmp_path / "gone.tif")), make_request())


def test_the_result_of_a_phrase_has_the_class_that_it_asks_for(project, run):
    query = parse_referring_expression("house near a road")
    finished, request = run("house, road")
    request = replace(request, query=query)
    layer = add_result(project, finished, request)
    assert [category.value() for category in layer.renderer().categories()] == ["house"]


def test_what_may_be_secret_in_the_address_of_a_server_is_not_written_into_the_layer(project, run):
    address = "http://localhost:1/v1?code=sk-secret"
    finished, request = run("road")
    recipe = replace(request.recipe, pipeline="vlm-sam", parameters={"base_url": address, "model": "m"})
    layer = add_result(project, finished, replace(request, recipe=recipe, consent_to_send=address))
    assert "sk-secret" not in layer.customProperty(REQUEST_PROPERTY) + layer.metadata().history()[0]
