from __future__ import annotations

import json

import pytest
from qgis.core import QgsRasterLayer

from rs_textseg_plugin.contract.events import Failed, Finished, Found, Progress
from rs_textseg_plugin.contract.grid import Extent
from rs_textseg_plugin.contract.recipe import PRESETS
from rs_textseg_plugin.gui.state.query_model import QueryModel
from rs_textseg_plugin.gui.state.vlm_choice import VlmChoice
from rs_textseg_plugin.host.settings import LAST_DEVICE


@pytest.fixture
def ready(model, layer):
    model.update(layer_id=layer.id(), text="building|roof, road")
    return model


def submitted_by(model):
    requests = []
    model.submitted.connect(requests.append)
    model.submit()
    return requests


def write_manifest(folder, **parameters):
    manifest = {"id": "mine", "title": "Mine", "files": [], "pipelines": [], "paper": "", "parameters": parameters}
    (folder / "models.json").write_text(json.dumps(manifest))


def test_a_submitted_request_holds_everything_that_was_chosen(ready, raster_file, tmp_path):
    ready.update(models="demo", parameters={"points_per_side": 8}, ground_resolution_m=0.25, device="cpu")
    (request,) = submitted_by(ready)
    assert request.scene.path == str(raster_file)
    assert request.scene.extent is None
    assert request.scene.ground_resolution_m == 0.25
    assert [spec.aliases for spec in request.query.classes] == [("building", "roof"), ("road",)]
    assert request.recipe.parameters == {"points_per_side": 8}
    assert request.recipe.device == "cpu"
    assert request.output.path.startswith(str(tmp_path / "rs_textseg"))


def test_the_folder_for_the_result_exists_when_a_request_is_submitted(ready, tmp_path):
    submitted_by(ready)
    assert (tmp_path / "rs_textseg").is_dir()


def test_the_map_canvas_can_be_the_extent(ready):
    ready.update(extent_choice="canvas")
    (request,) = submitted_by(ready)
    assert request.scene.extent == Extent(500010, 4999980, 500020, 4999990)


def test_an_extent_beside_the_layer_is_refused_in_words(ready, make_raster, project):
    far = QgsRasterLayer(str(make_raster("far.tif", epsg=32632)), "far")  # the same numbers, six degrees to the west
    project.addMapLayer(far)
    ready.update(layer_id=far.id(), extent_choice="canvas")
    refused = []
    ready.refused.connect(refused.append)
    assert submitted_by(ready) == []
    assert "does not touch the layer 'far'" in refused[0]


def test_without_a_text_nothing_can_run_and_nothing_is_wrong_with_the_text(model, layer):
    model.update(layer_id=layer.id(), text="  ")
    assert not model.can_run
    assert model.problems.text == ""
    assert submitted_by(model) == []


@pytest.mark.parametrize(("text", "words"), [("-shadow", "only negative classes"), ("road, road", "named twice")])
def test_a_text_that_cannot_be_read_is_a_problem_in_words(ready, text, words):
    ready.update(text=text)
    assert words in ready.problems.text
    assert not ready.can_run


def test_without_a_layer_nothing_can_run(model):
    model.update(text="road")
    assert model.problems.layer == "Choose a raster layer."
    assert not model.can_run


def test_a_layer_that_was_removed_is_no_longer_chosen(ready, project, layer):
    project.removeMapLayer(layer.id())
    assert ready.problems.layer == "Choose a raster layer."
    assert not ready.can_run


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ("sam-b-clip-b16", "-m rs_textseg_plugin.engine models fetch sam-b-clip-b16"),
        ("/no/folder", "no folder '/no/folder'"),
        (" ", "Choose a model set"),
    ],
)
def test_models_that_are_not_here_are_a_problem_in_words(ready, models, words):
    ready.update(models=models)
    assert words in ready.problems.models
    assert not ready.can_run


def test_a_folder_with_models_is_fine(ready, tmp_path):
    ready.update(models=str(tmp_path))
    assert ready.can_run


def test_parameters_that_do_not_fit_together_are_a_problem(ready):
    ready.update(parameters={"tile_px": 128, "overlap_px": 128})
    assert "overlap_px=128 is more than half of tile_px=128" in ready.problems.parameters
    assert not ready.can_run


def test_only_a_real_change_is_told(ready):
    changes = []
    ready.changed.connect(lambda: changes.append(1))
    ready.update(text="building|roof, road")
    assert changes == []
    ready.update(text="road")
    assert changes == [1]


def test_choices_are_remembered_when_they_run_and_not_before(ready, project):
    ready.update(extent_choice="canvas")
    assert QueryModel(project, lambda: None).state.text == ""
    submitted_by(ready)
    remembered = QueryModel(project, lambda: None).state
    assert remembered.text == "building|roof, road"
    assert remembered.extent_choice == "canvas"
    assert remembered.layer_id == ""


def test_a_run_goes_from_start_over_progress_to_its_result(ready):
    ready.take_start()
    assert ready.can_cancel
    assert not ready.can_run
    ready.take_progress(Progress("segmenting", 1, 2, 0.5))
    ready.take_found(Found({"road": 3}))
    assert ready.run.progress.fraction == 0.5
    assert ready.run.counts == {"road": 3}
    ready.take_finished(Finished("x.gpkg", ()))
    assert ready.run.finished.path == "x.gpkg"
    assert ready.can_run
    assert not ready.can_cancel


def test_a_run_is_cancelled_once(ready):
    wanted = []
    ready.cancel_wanted.connect(lambda: wanted.append(1))
    ready.cancel()
    assert wanted == []
    ready.take_start()
    ready.cancel()
    ready.cancel()
    assert wanted == [1]
    assert ready.run.is_stopping


def test_a_failure_is_kept_until_the_next_run_and_a_cancelled_run_is_none(ready):
    ready.take_failed(Failed("EngineCrashed", "It ended."))
    assert ready.run.failed.message == "It ended."
    ready.take_start()
    assert ready.run.failed is None
    ready.take_failed(Failed("Cancelled", "Stopped."))
    assert ready.run.failed is None


def test_a_preset_goes_into_the_request_by_its_name_and_the_users_own_values_win(ready):
    ready.update(pipeline="segearth-ov", preset="native", parameters={"cls_weight": 0.1})
    (request,) = submitted_by(ready)
    assert (request.recipe.preset, request.recipe.parameters) == ("native", {"cls_weight": 0.1})
    assert request.recipe.chosen_parameters == {**PRESETS["native"].values, "cls_weight": 0.1}


def test_another_method_forgets_preset_and_parameters(ready):
    ready.update(pipeline="segearth-ov", preset="native", parameters={"cls_weight": 0.1})
    ready.update(pipeline="sam-clip")
    assert (ready.state.preset, ready.state.parameters) == ("", {})


def test_phrase_and_choice_are_remembered(ready, project):
    ready.update(pipeline="text2seg", question_kind="phrase", phrase="house near a road")
    submitted_by(ready)
    remembered = QueryModel(project, lambda: None).state
    assert (remembered.kind, remembered.question) == ("phrase", "house near a road")


def test_a_method_that_answers_class_lists_is_asked_the_class_list(ready):
    ready.update(question_kind="phrase", phrase="house near a road")
    (request,) = submitted_by(ready)
    assert request.query.phrase == ""
    assert [spec.name for spec in request.query.classes] == ["building", "road"]


def test_rasters_lie_beside_the_polygons(ready, tmp_path):
    ready.update(rasters=("label_raster",))
    (request,) = submitted_by(ready)
    assert request.output.label_raster == request.output.path.replace(".gpkg", "_labels.tif")
    assert request.output.score_raster == ""


def test_a_heat_map_is_written_without_being_asked_for(ready):
    ready.update(pipeline="surgery-sam", parameters={"result": "heat"})
    (request,) = submitted_by(ready)
    assert request.output.score_raster.endswith("_scores.tif")


def test_the_choice_of_rasters_is_remembered(ready, project):
    ready.update(rasters=("label_raster", "score_raster"))
    submitted_by(ready)
    assert QueryModel(project, lambda: None).state.rasters == ("label_raster", "score_raster")


def test_a_typed_folder_is_looked_at_when_it_is_typed_and_again_when_something_is_run(ready, tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    ready.update(models=str(folder))
    assert ready.can_run
    folder.rmdir()
    ready.update(text="road")
    assert ready.problems.models == ""
    assert submitted_by(ready) == []
    assert f"no folder {str(folder)!r}" in ready.problems.models


@pytest.mark.parametrize("end", [lambda model: model.take_finished(Finished("x.gpkg", ())),
                                 lambda model: model.take_failed(Failed("EngineCrashed", "It ended."))])  # fmt: skip
def test_when_a_run_ends_the_disk_is_looked_at_again(ready, tmp_path, end):
    folder = tmp_path / "checkpoints"
    ready.update(models=str(folder))
    assert ready.problems.models
    ready.take_start()
    folder.mkdir()
    ready.take_progress(Progress("segmenting", 1, 2, 0.5))
    assert ready.problems.models
    end(ready)
    assert ready.problems.models == ""


def test_only_what_has_changed_on_the_disk_is_told(ready, tmp_path):
    changes = []
    ready.changed.connect(lambda: changes.append(1))
    ready.refresh()
    assert changes == []
    ready.update(models=str(tmp_path / "later"))
    (tmp_path / "later").mkdir()
    ready.refresh()
    assert changes == [1, 1]


def test_values_of_a_folder_with_models_are_the_base_and_are_checked_with_ones_own(ready, tmp_path):
    write_manifest(tmp_path, tile_px=256, overlap_px=64)
    ready.update(models=str(tmp_path), parameters={"overlap_px": 200})
    assert ready.base_values["tile_px"] == 256
    assert "overlap_px=200 is more than half of tile_px=256" in ready.problems.parameters


def test_a_heat_map_of_a_folders_own_values_is_written_too(ready, tmp_path):
    write_manifest(tmp_path, result="heat")
    ready.update(pipeline="surgery-sam", models=str(tmp_path))
    (request,) = submitted_by(ready)
    assert request.output.score_raster.endswith("_scores.tif")


@pytest.mark.parametrize(
    ("of_models", "own", "views"), [({"view": "sweep"}, {}, 6), ({"view": "sweep"}, {"view": "whole"}, 1)]
)
def test_pictures_are_counted_with_the_values_that_the_engine_will_have(ready, tmp_path, of_models, own, views):
    write_manifest(tmp_path, tile_px=64, overlap_px=16, **of_models)
    choice = VlmChoice(base_url="https://api.example.org/v1", model="gpt-5")
    ready.update(pipeline="vlm-sam", models=str(tmp_path), phrase="a roof", vlm=choice, parameters=own)
    ready.update(ground_resolution_m=0.25)  # 128 x 96 pixels
    questions = []
    ready.consent_wanted.connect(questions.append)
    ready.submit()
    assert [sending.views for sending in questions] == [views]


def test_an_edited_answer_sends_nothing_and_needs_no_consent(ready, tmp_path):
    choice = VlmChoice(base_url="https://api.example.org/v1", model="gpt-5")
    ready.update(
        pipeline="vlm-sam", phrase="a roof", vlm=choice, parameters={"clicks": str(tmp_path / "clicks.geojson")}
    )
    (request,) = submitted_by(ready)
    assert (request.consent_to_send, ready.has_consent) == ("", False)


def test_a_device_that_does_not_exist_is_not_remembered(ready, project):
    LAST_DEVICE.write("gpu")
    assert QueryModel(project, lambda: None).state.device == "auto"
    LAST_DEVICE.write("mps")
    assert QueryModel(project, lambda: None).state.device == "mps"
