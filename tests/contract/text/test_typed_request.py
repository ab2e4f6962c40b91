"""The one builder of requests."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rs_textseg_plugin.contract.errors import QueryError, RecipeError, SceneError
from rs_textseg_plugin.contract.grid import Extent
from rs_textseg_plugin.contract.recipe import DEVICES, Recipe
from rs_textseg_plugin.contract.request import Output, Request
from rs_textseg_plugin.contract.scene import Scene, Stretch
from rs_textseg_plugin.contract.text.typed_request import TypedRequest

SCENE, OUTPUT = Scene("scene.tif", bands=(1,), extent=Extent(0, 0, 9, 9)), Output("result.gpkg")
URL = "https://api.example.org/v1"
ASKING = {"phrase": "the grey roof", "pipeline": "vlm-sam"}
SERVER = {"base_url": URL, "model": "gpt-5"}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Where class lists of one's own would be."""
    monkeypatch.setattr("rs_textseg_plugin.contract.text.word_list.data_home", lambda: tmp_path / "data")


def test_what_is_not_typed_is_at_its_default_and_the_scene_stays():
    request = TypedRequest(text="road").build(SCENE, OUTPUT)
    assert request == Request(SCENE, request.query, Recipe(), OUTPUT)
    assert [spec.name for spec in request.query.classes] == ["road"]


def test_everything_that_is_typed_is_in_the_request():
    request = TypedRequest(
        word_list=" potsdam ",
        pipeline="segearth-ov",
        models=" mine ",
        preset="native",
        parameters={"cls_weight": "0.1"},
        device="cuda:1",
        precision="fp32",
        bands="4 3,2",
        stretch=" range:0:4000 ",
        nodata=" -9999 ",
        resolution="0.5",
    ).build(SCENE, OUTPUT)
    assert request.scene == Scene(
        "scene.tif", (4, 3, 2), Stretch("range", 0, 4000), -9999, SCENE.extent, ground_resolution_m=0.5
    )
    assert request.recipe == Recipe("segearth-ov", "mine", {"cls_weight": "0.1"}, "cuda:1", "fp32", "native")
    assert "building" in [spec.name for spec in request.query.classes]
    assert Request.from_json(request.to_json()) == request


@pytest.mark.parametrize("device", [*DEVICES, "cuda:0", "cuda:12"])
def test_every_device_is_accepted(device):
    assert TypedRequest(device=device).recipe().device == device


@pytest.mark.parametrize(
    ("choices", "error", "words"),
    [
        ({"device": "gpu"}, RecipeError, "There is no device 'gpu': choose auto, cpu, cuda, mps, or cuda:1"),
        ({"device": "cuda:x"}, RecipeError, "There is no device 'cuda:x'"),
        ({"precision": "fp8"}, RecipeError, "There is no precision 'fp8'"),
        ({"pipeline": "magic"}, RecipeError, "There is no pipeline 'magic'"),
        ({"preset": "magic"}, RecipeError, "There is no preset 'magic'"),
        ({"preset": "native"}, RecipeError, "one of the pipeline segearth-ov, not of sam-clip"),
        ({"parameters": {"nonsense": "1"}}, RecipeError, "sam-clip has no parameter 'nonsense'"),
        ({"parameters": {"tile_px": 128, "overlap_px": 128}}, RecipeError, "more than half of tile_px=128"),
        ({"bands": "1,2"}, SceneError, "The bands '1,2' are not understood"),
        ({"stretch": "much"}, SceneError, "The stretch 'much' is not understood"),
        ({"nodata": "x"}, SceneError, "The nodata value 'x' is not understood"),
        ({"resolution": "-1"}, SceneError, "The resolution '-1' is not understood"),
        ({"text": ""}, QueryError, "You gave none of them"),
        ({"text": " ", "phrase": "\n"}, QueryError, "You gave none of them"),
        ({"phrase": "house"}, QueryError, "You gave a class list and a phrase"),
        ({"word_list": "potsdam"}, QueryError, "You gave a class list and the name of a class list"),
        ({"text": "", "phrase": "house"}, QueryError, "sam-clip answers class lists, no phrases"),
        ({"text": "", "word_list": "lovda"}, QueryError, "There is no word list 'lovda'"),
        ({"pipeline": "vlm-sam"}, QueryError, "vlm-sam answers phrases and questions, and a class list was given"),
    ],
)
def test_a_mistake_is_refused_with_its_sentence(choices, error, words):
    typed = TypedRequest(**{"text": "road", **choices})
    with pytest.raises(error) as refused:
        typed.build(SCENE, OUTPUT)
    assert words in str(refused.value)
    with pytest.raises(error) as checked:
        typed.check()
    assert str(checked.value) == str(refused.value)


def test_a_phrase_is_read_for_the_pipeline():
    assert TypedRequest(**ASKING).query().phrase == "the grey roof"
    query = TypedRequest(phrase="the largest house near a road", pipeline="text2seg").query()
    assert [spec.name for spec in query.classes] == ["house", "road"]


def test_consent_is_for_the_address_that_the_parameters_name():
    assert TypedRequest(**ASKING, parameters=SERVER, agrees_to_send=True).build(SCENE, OUTPUT).consent_to_send == URL
    assert TypedRequest(**ASKING, parameters=SERVER).build(SCENE, OUTPUT).consent_to_send == ""
    assert TypedRequest(text="road", agrees_to_send=True).build(SCENE, OUTPUT).consent_to_send == ""
    clicks = {**SERVER, "clicks": "edited.geojson"}
    assert TypedRequest(**ASKING, parameters=clicks, agrees_to_send=True).build(SCENE, OUTPUT).consent_to_send == ""


def test_without_consent_pictures_go_nowhere():
    with pytest.raises(QueryError, match=f"would leave this machine for {URL}, and nobody agreed"):
        TypedRequest(**ASKING, parameters=SERVER).check()
    TypedRequest(**ASKING, parameters=SERVER, agrees_to_send=True).check()
    TypedRequest(**ASKING, parameters={**SERVER, "clicks": "edited.geojson"}).check()
    TypedRequest(**ASKING, parameters={"vlm": "/models/qwen"}).check()


def test_values_that_fit_only_with_those_of_the_models_are_accepted():
    of_models = {"tile_px": 512}
    assert TypedRequest(text="road", parameters={"overlap_px": "200"}, of_models=of_models).recipe()
    with pytest.raises(RecipeError, match="overlap_px=300 is more than half of tile_px=512"):
        TypedRequest(text="road", parameters={"overlap_px": "300"}, of_models=of_models).recipe()


def test_an_address_that_the_models_bring_along_needs_consent_too():
    of_models = {"base_url": "http://elsewhere.example/v1", "model": "m"}
    typed = TypedRequest(phrase="the house", pipeline="vlm-sam", of_models=of_models)
    with pytest.raises(QueryError, match="would leave this machine for http://elsewhere"):
        typed.check()
    agreed = replace(typed, agrees_to_send=True)
    assert agreed.build(Scene("a.tif"), Output("a.gpkg")).consent_to_send == "http://elsewhere.example/v1"


def test_what_a_word_list_says_for_the_preset_is_in_the_recipe_whether_the_list_or_its_text_is_given():
    named = TypedRequest(word_list="loveda", pipeline="segearth-ov", preset="segearth-published").recipe()
    assert named.list_parameters == {"prob_threshold": 0.3}
    assert named.checked_parameters()["prob_threshold"] == 0.3
    typed = TypedRequest(
        text="road", pipeline="segearth-ov", preset="segearth-published", list_parameters={"prob_threshold": 0.7}
    )
    assert typed.recipe().list_parameters == {"prob_threshold": 0.7}
    for preset in ("", "native"):
        recipe = TypedRequest(word_list="loveda", pipeline="segearth-ov", preset=preset).recipe()
        assert recipe.list_parameters == {}
