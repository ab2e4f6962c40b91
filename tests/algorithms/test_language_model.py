from __future__ import annotations

import json

import pytest
from authentication import store_configuration
from processing_feedback import Feedback
from qgis.core import QgsProcessingContext

ASKING = {
    "TEXT": "",
    "PHRASE": "the grey roof",
    "PIPELINE": "vlm-sam",
    "BASE_URL": "https://api.example.org/v1",
    "MODEL": "gpt-5",
    "CONSENT": True,
}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"TEXT": "roof"}, "You gave a class list and a phrase"),
        ({"TEXT": "roof", "PHRASE": ""}, "vlm-sam answers phrases and questions, and a class list was given"),
        ({"CONSENT": False}, "leave this machine for https://api.example.org/v1, and nobody agreed"),
        ({"MODEL": ""}, "needs the name of a model on that server"),
        ({"PARAMETERS": "base_url=http://localhost:1/v1"}, "The parameter 'base_url' is given twice"),
        ({"PARAMETERS": "model=other"}, "The parameter 'model' is given twice"),
    ],
)
def test_wrong_values_are_told_before_anything_runs(algorithm, raster_file, tmp_path, values, words):
    given = {**ASKING, "INPUT": str(raster_file), "OUTPUT": str(tmp_path / "r.gpkg"), **values}
    is_fine, why = algorithm.checkParameterValues(given, QgsProcessingContext())
    assert not is_fine
    assert words in why


def test_a_model_behind_an_endpoint_is_asked_with_consent(request_of, tmp_path):
    clicks = str(tmp_path / "clicks.geojson")
    request = request_of(**ASKING, CLICKS=clicks)
    assert request.recipe.parameters == {"base_url": "https://api.example.org/v1", "model": "gpt-5"}
    assert request.consent_to_send == "https://api.example.org/v1"
    assert request.query.phrase == "the grey roof"
    assert request.output.clicks == clicks


def test_the_answer_of_the_model_is_an_output(run, tmp_path):
    outputs, _ = run(**ASKING, CLICKS=str(tmp_path / "clicks.geojson"))
    assert outputs["CLICKS"] == str(tmp_path / "clicks.geojson")


def test_consent_goes_nowhere_without_an_address(request_of):
    assert request_of(CONSENT=True).consent_to_send == ""


def test_clicks_of_a_file_are_drawn_without_consent(request_of):
    request = request_of(**{**ASKING, "CONSENT": False, "PARAMETERS": "clicks=edited.geojson"})
    assert request.recipe.parameters["clicks"] == "edited.geojson"
    assert request.consent_to_send == ""


def test_the_key_of_a_configuration_reaches_the_engine_for_this_run_only(run, keys):
    configuration = store_configuration(password="sk-very-secret")
    _, feedback = run(**{**ASKING, "PHRASE": "environment"}, AUTHCFG=configuration)
    (seen,) = [json.loads(line) for line in feedback.said["warning"] if line.startswith("{")]
    assert seen["keys"] == ["sk-very-secret"]
    _, feedback = run("environment")
    (seen,) = [json.loads(line) for line in feedback.said["warning"] if line.startswith("{")]
    assert seen["keys"] == ["sk-very-secret", ""]
    assert keys() == ""


def test_a_configuration_that_cannot_be_read_is_told(algorithm, raster_file, tmp_path):
    values = {**ASKING, "INPUT": str(raster_file), "OUTPUT": str(tmp_path / "r.gpkg"), "AUTHCFG": "abc1234"}
    feedback = Feedback()
    _, is_done = algorithm.run(values, QgsProcessingContext(), feedback, {}, True)
    assert not is_done
    assert "'abc1234' cannot be read" in feedback.said["error"][0]
