from __future__ import annotations

import json
import threading
import time

import pytest
from processing_feedback import Feedback
from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsProcessingAlgRunnerTask,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingParameterDefinition,
    QgsProject,
    QgsRasterLayer,
    QgsVectorLayer,
)

from rs_textseg_plugin.contract.recipe import PIPELINES, PRESETS
from rs_textseg_plugin.contract.scene import Scene, Stretch
from rs_textseg_plugin.host.layers.result_layers import REQUEST_PROPERTY
from rs_textseg_plugin.runtime.worker_process import WorkerProcessClient

EXPERT = {"PRESET", "PARAMETERS", "BANDS", "STRETCH", "NODATA", "RESOLUTION", "DEVICE", "PRECISION"}


def test_a_raster_and_a_text_become_polygons(run, tmp_path):
    outputs, _ = run("road, water")
    assert outputs["OUTPUT"] == str(tmp_path / "result.gpkg")
    assert outputs["COUNT"] == 2
    assert QgsVectorLayer(outputs["OUTPUT"]).featureCount() == 2


def test_the_request_holds_all_values(request_of, tmp_path):
    request = request_of(
        text="road",
        PIPELINE="sam-clip",
        MODELS=str(tmp_path),
        PARAMETERS="points_per_side=8; min_area_m2=20",
        BANDS="3 2 1",
        STRETCH="range:0:200",
        NODATA="-9999",
        RESOLUTION=0.25,
        DEVICE="cuda:1",
        PRECISION="fp32",
        LABEL_RASTER=str(tmp_path / "labels.tif"),
        EXTENT="500004,500008,4999990,4999998 [EPSG:32633]",
    )
    assert request.recipe.models == str(tmp_path)
    assert request.recipe.parameters == {"points_per_side": "8", "min_area_m2": "20"}
    assert request.recipe.checked_parameters()["points_per_side"] == 8
    assert (request.recipe.device, request.recipe.precision) == ("cuda:1", "fp32")
    assert request.scene.bands == (3, 2, 1)
    assert request.scene.stretch == Stretch("range", 0, 200)
    assert request.scene.nodata == -9999
    assert request.scene.ground_resolution_m == 0.25
    assert (request.scene.extent.xmin, request.scene.extent.ymax) == (500004, 4999998)
    assert request.output.label_raster == str(tmp_path / "labels.tif")
    assert request.output.score_raster == ""


def test_another_method_is_asked_for_with_its_own_parameters(request_of):
    request = request_of(PIPELINE="segearth-ov", PARAMETERS="upsampling=bilinear; attention=gem")
    assert request.recipe.pipeline == "segearth-ov"
    values = request.recipe.checked_parameters()
    assert (values["upsampling"], values["attention"], values["clip_long_side_px"]) == ("bilinear", "gem", 448)


def test_what_is_not_given_is_at_its_default(request_of):
    request = request_of()
    assert request.recipe.pipeline == "sam-clip"
    assert request.recipe.models == "demo"
    assert request.recipe.parameters == {}
    assert request.scene.extent is None
    assert request.scene == Scene(request.scene.path)
    assert (request.recipe.device, request.recipe.precision, request.recipe.preset) == ("auto", "auto", "")
    assert request.output.label_raster == ""


def test_a_named_class_list_takes_the_place_of_a_typed_one(request_of):
    request = request_of(text="", WORD_LIST="potsdam")
    assert [spec.name for spec in request.query.positives] == ["road", "building", "low vegetation", "tree", "car"]


def test_a_class_list_is_read_from_a_text_file(request_of, tmp_path):
    (tmp_path / "mine.txt").write_text("ship\npier|quay\n")
    request = request_of(text="", WORD_LIST=str(tmp_path / "mine.txt"))
    assert [spec.aliases for spec in request.query.classes] == [("ship",), ("pier", "quay")]


def test_a_phrase_is_asked_where_the_method_answers_some(request_of):
    request = request_of(text="", PHRASE="the largest house near a road", PIPELINE="text2seg")
    assert request.query.phrase == "the largest house near a road"
    assert [spec.name for spec in request.query.classes] == ["house", "road"]


def test_a_preset_is_given_by_its_name_and_is_the_base_of_the_parameters(request_of):
    request = request_of(PIPELINE="segearth-ov", PRESET="native", PARAMETERS="cls_weight=0.1")
    assert (request.recipe.preset, request.recipe.parameters) == ("native", {"cls_weight": "0.1"})
    assert request.recipe.chosen_parameters == {**PRESETS["native"].values, "cls_weight": "0.1"}


def test_the_known_class_lists_are_offered(algorithm):
    hints = algorithm.parameterDefinition("WORD_LIST").metadata()["widget_wrapper"]["value_hints"]
    assert {"loveda", "potsdam", "isaid"} <= set(hints)


def test_a_class_list_of_ones_own_that_cannot_be_read_does_not_keep_the_algorithm_away(algorithm, home):
    (home / "word_lists").mkdir(parents=True)
    (home / "word_lists" / "broken.txt").write_bytes(b"\xff\xfe")
    again = algorithm.create()
    assert again.parameterDefinition("WORD_LIST").metadata() == {}
    assert again.parameterDefinition("TEXT") is not None


def test_an_extent_in_another_crs_is_transformed(request_of):
    request = request_of(EXTENT="15.0,15.0002,45.15,45.1539 [EPSG:4326]")
    assert request.scene.extent.xmin == pytest.approx(500000, abs=0.01)
    assert request.scene.extent.xmax == pytest.approx(500015.7, abs=0.2)


def test_an_extent_without_a_crs_is_in_that_of_the_project(request_of):
    project, context = QgsProject(), QgsProcessingContext()
    project.setCrs(QgsCoordinateReferenceSystem("EPSG:4326"))
    context.setProject(project)
    request = request_of(EXTENT="15.0,15.0002,45.15,45.1539", context=context)
    assert request.scene.extent.xmax == pytest.approx(500015.7, abs=0.2)


def test_an_extent_without_a_crs_and_a_project_is_in_that_of_the_layer(request_of):
    request = request_of(EXTENT="500004,500008,4999990,4999998")
    assert request.scene.extent.xmin == 500004


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"INPUT": "/gone.tif"}, "/gone.tif not found"),
        ({"TEXT": "-shadow"}, "only negative classes"),
        ({"TEXT": ""}, "exactly one of these"),
        ({"TEXT": " "}, "a class list, the name of a class list, a phrase. You gave none of them"),
        ({"WORD_LIST": "loveda"}, "You gave a class list and the name of a class list"),
        ({"TEXT": "", "WORD_LIST": "lovda"}, "There is no word list 'lovda'"),
        ({"TEXT": "", "PHRASE": "house near a road"}, "sam-clip answers class lists, no phrases"),
        ({"TEXT": "", "PHRASE": "near a road", "PIPELINE": "text2seg"}, "does not say what to look for"),
        ({"PRESET": "native"}, "one of the pipeline segearth-ov, not of sam-clip"),
        ({"PRESET": "nonsense"}, "There is no preset 'nonsense'"),
        ({"BASE_URL": "https://api.example.org/v1"}, "has no parameter 'base_url'"),
        ({"PARAMETERS": "points_per_side=many"}, "points_per_side='many' is not understood"),
        ({"PARAMETERS": "nonsense=1"}, "has no parameter 'nonsense'"),
        ({"PARAMETERS": "nonsense"}, "write key=value"),
        ({"BANDS": "1,2"}, "The bands '1,2' are not understood"),
        ({"PIPELINE": "magic"}, "There is no pipeline 'magic'"),
        ({"DEVICE": "gpu"}, "There is no device 'gpu'"),
        ({"PRECISION": "fp8"}, "There is no precision 'fp8'"),
        ({"STRETCH": "much"}, "The stretch 'much' is not understood"),
        ({"NODATA": "x"}, "The nodata value 'x' is not understood"),
        ({"RESOLUTION": -1}, "The resolution '-1' is not understood"),
        ({"RESOLUTION": "x"}, "The resolution 'x' is not understood"),
        ({"OUTPUT": "memory:"}, "name a file"),
    ],
)
def test_wrong_values_are_told_before_anything_runs(algorithm, raster_file, tmp_path, values, words):
    given = {"INPUT": str(raster_file), "TEXT": "road", "OUTPUT": str(tmp_path / "r.gpkg"), **values}
    is_fine, why = algorithm.checkParameterValues(given, QgsProcessingContext())
    assert not is_fine
    assert words in why


def test_a_failure_of_the_engine_is_the_sentence_it_said(run):
    with pytest.raises(QgsProcessingException, match=r"^The raster has no pixels\.$"):
        run("refuse")


def test_the_details_of_a_failure_are_in_the_log_of_the_run(run):
    feedback = Feedback()
    with pytest.raises(QgsProcessingException, match="exit code 7"):
        run("crash", feedback)
    assert any("the last words" in line for line in feedback.said["debug"])


def test_an_error_in_the_plugin_itself_is_an_error_of_processing(run, monkeypatch):
    def broken(self, request):
        raise RuntimeError("the sky fell")

    monkeypatch.setattr(WorkerProcessClient, "run", broken)
    with pytest.raises(QgsProcessingException, match="The plugin failed: the sky fell"):
        run()


def test_cancelling_stops_a_run_that_says_nothing(run):
    feedback = Feedback()
    threading.Timer(0.5, feedback.cancel).start()
    start_s = time.monotonic()
    with pytest.raises(QgsProcessingException, match="cancelled"):
        run("hang", feedback)
    assert time.monotonic() - start_s < 5
    assert not [thread for thread in threading.enumerate() if thread.name == "rs-textseg-cancel"]


def test_the_client_is_free_again_after_every_kind_of_end(run):
    for text in ("refuse", "crash", "road"):
        try:
            outputs, _ = run(text)
        except QgsProcessingException:
            continue
    assert outputs["COUNT"] == 1


def test_device_demo_models_warnings_and_notes_are_told(run):
    _, feedback = run("warn, road")
    assert "Device: CPU" in feedback.said["info"]
    assert "Note: A note." in feedback.said["info"]
    assert "road: 1 polygons, 400 m², mean score 0.75" in feedback.said["info"]
    assert feedback.said["warning"][0] == "The CPU was used."
    assert any("demo models" in line for line in feedback.said["warning"])


def test_the_progress_reaches_the_end(run):
    feedback = Feedback()
    run(feedback=feedback)
    assert feedback.progress() == 100.0


def test_a_loaded_result_is_coloured_and_carries_the_request(run, tmp_path, raster_file):
    project = QgsProject()
    context = QgsProcessingContext()
    context.setProject(project)
    destination = str(tmp_path / "result.gpkg")
    details = QgsProcessingContext.LayerDetails("Segments", project, "OUTPUT")
    context.addLayerToLoadOnCompletion(destination, details)
    run("road, water", context=context)
    layer = QgsVectorLayer(destination, "Segments")
    styler = context.layerToLoadOnCompletionDetails(destination).postProcessor()
    styler.postProcessLayer(layer, context, Feedback())
    assert [category.value() for category in layer.renderer().categories()] == ["road", "water"]
    assert json.loads(layer.customProperty(REQUEST_PROPERTY))["scene"]["path"] == str(raster_file)


def test_a_loaded_label_raster_has_the_colours_of_the_classes(run, tmp_path):
    project, context = QgsProject(), QgsProcessingContext()
    context.setProject(project)
    destination = str(tmp_path / "labels.tif")
    context.addLayerToLoadOnCompletion(
        destination, QgsProcessingContext.LayerDetails("Labels", project, "LABEL_RASTER")
    )
    outputs, _ = run("road, water", context=context, LABEL_RASTER=destination)
    assert outputs["LABEL_RASTER"] == destination
    layer = QgsRasterLayer(destination, "Labels")
    context.layerToLoadOnCompletionDetails(destination).postProcessor().postProcessLayer(layer, context, Feedback())
    assert [entry.label for entry in layer.renderer().classes()] == ["road", "water"]


def test_it_runs_in_a_background_thread(qtbot, algorithm, raster_file, tmp_path):
    context, feedback = QgsProcessingContext(), Feedback()
    values = {"INPUT": QgsRasterLayer(str(raster_file)), "TEXT": "road", "OUTPUT": str(tmp_path / "result.gpkg")}
    task = QgsProcessingAlgRunnerTask(algorithm, values, context, feedback)
    with qtbot.waitSignal(task.executed, timeout=5000) as executed:
        QgsApplication.taskManager().addTask(task)
    is_done, outputs = executed.args
    assert is_done
    assert outputs["COUNT"] == 1


def test_a_temporary_result_is_a_geopackage(run):
    outputs, _ = run(OUTPUT="TEMPORARY_OUTPUT")
    assert outputs["OUTPUT"].endswith(".gpkg")
    assert QgsVectorLayer(outputs["OUTPUT"]).featureCount() == 2


def test_names_and_choices_that_scripts_use_are_stable(algorithm):
    names = [definition.name() for definition in algorithm.parameterDefinitions()]
    main = {"INPUT", "TEXT", "PIPELINE", "MODELS", "EXTENT", "OUTPUT"}
    questions, more = {"WORD_LIST", "PHRASE"}, {"LABEL_RASTER", "SCORE_RASTER", "CLASS_SCORES", "CLICKS"}
    server = {"BASE_URL", "MODEL", "AUTHCFG", "CONSENT"}
    assert set(names) == main | questions | more | server | EXPERT
    assert algorithm.parameterDefinition("PIPELINE").usesStaticStrings()
    assert algorithm.parameterDefinition("PIPELINE").options() == list(PIPELINES)
    assert algorithm.parameterDefinition("DEVICE").options() == ["auto", "cpu", "cuda", "mps"]
    assert algorithm.parameterDefinition("PRECISION").options() == ["auto", "fp32", "bf16"]


def test_expert_values_are_advanced_and_the_others_are_not(algorithm):
    flag = QgsProcessingParameterDefinition.Flag.FlagAdvanced
    advanced = {d.name() for d in algorithm.parameterDefinitions() if d.flags() & flag}
    assert advanced == EXPERT | {"BASE_URL", "MODEL", "AUTHCFG", "CONSENT"}


def test_it_can_be_found_and_is_explained(algorithm):
    assert algorithm.displayName() == "Segment by text"
    assert "text" in algorithm.tags()
    assert "building|roof|house, road" in algorithm.shortHelpString()
    assert algorithm.helpUrl().startswith("file://")  # a page that comes with the plugin
    assert algorithm.provider().name() == "RS TextSeg"
    assert not algorithm.icon().isNull()


def test_it_may_run_in_a_thread_and_be_cancelled(algorithm):
    flags = algorithm.flags()
    assert flags & type(algorithm).Flag.FlagCanCancel
    assert not flags & type(algorithm).Flag.FlagNoThreading
