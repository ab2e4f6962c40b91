from __future__ import annotations

import pytest
from qgis.core import QgsSettings

from rs_textseg_plugin.gui.state.vlm_choice import VlmChoice, remember_choice, remembered_choice

ENDPOINT = VlmChoice(base_url=" https://api.example.org/v1 ", model=" gpt-5 ", authcfg="abc1234", folder="/models/qwen")


def test_an_endpoint_and_a_folder_are_parameters_of_the_recipe_and_never_both(tmp_path):
    assert ENDPOINT.parameters == {"base_url": "https://api.example.org/v1", "model": "gpt-5"}
    folder = VlmChoice("folder", "https://api.example.org/v1", "gpt-5", "abc1234", str(tmp_path))
    assert folder.parameters == {"vlm": str(tmp_path)}


def test_an_adapter_goes_with_its_model(tmp_path):
    choice = VlmChoice("folder", folder=str(tmp_path), adapter=str(tmp_path))
    assert choice.parameters == {"vlm": str(tmp_path), "adapter": str(tmp_path)}
    assert choice.folders == (str(tmp_path), str(tmp_path))
    assert choice.problem(False, ()) == ""


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (VlmChoice(), "Type the address of the server"),
        (VlmChoice(base_url="nonsense", model="m"), "is no address of a web server"),
        (VlmChoice(base_url="http://localhost/v1"), "Type the name of a model"),
        (VlmChoice("folder"), "Choose a folder"),
        (VlmChoice("folder", folder="/no/folder"), "There is no folder '/no/folder'"),
        (VlmChoice("folder", folder="/a/folder", adapter=" /no/adapter "), "There is no folder '/no/adapter'"),
    ],
)
def test_what_is_missing_is_told(choice, words):
    assert words in choice.problem(False, {"/no/folder", "/no/adapter"})


def test_a_model_set_may_bring_the_model():
    choice = VlmChoice("folder")
    assert "Choose a folder" in choice.problem(False, ())
    assert choice.problem(True, ()) == ""
    assert choice.parameters == {}


def test_an_endpoint_with_a_model_is_fine():
    assert ENDPOINT.problem(False, {"/models/qwen"}) == ""


def test_the_choice_is_remembered_and_of_the_key_only_where_it_is(qgis_app):
    remember_choice(ENDPOINT)
    assert remembered_choice() == ENDPOINT
    assert QgsSettings().value("rs_textseg/vlm/authcfg") == "abc1234"


def test_an_unknown_place_is_forgotten(qgis_app):
    remember_choice(VlmChoice(place="cloud"))
    assert remembered_choice().place == "endpoint"


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("https://api.example.org/v1?api-version=2", "https://api.example.org/v1?api-version=2"),
        ("https://api.example.org/v1?api-version=2&code=sk-secret", "https://api.example.org/v1"),
        ("https://me:sk-secret@api.example.org/v1", "https://api.example.org/v1"),
    ],
)
def test_what_may_be_secret_in_an_address_is_not_remembered(qgis_app, typed, kept):
    remember_choice(VlmChoice(base_url=typed))
    assert remembered_choice().base_url == kept
