from __future__ import annotations

import json

import pytest

from rs_textseg_plugin.contract.catalog import load_catalog
from rs_textseg_plugin.gui.state.model_sets import find_models, find_sets, sets_for


@pytest.fixture
def models_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RS_TEXTSEG_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def install(models_folder, name):
    entry = next(entry for entry in load_catalog() if entry.id == name)
    for file in entry.files:
        (models_folder / name).mkdir(parents=True, exist_ok=True)
        (models_folder / name / file.name).touch()


def write_manifest(folder, **parameters):
    manifest = {"id": "mine", "title": "Mine", "files": [], "pipelines": [], "paper": "", "parameters": parameters}
    (folder / "models.json").write_text(json.dumps(manifest))


def offered(pipeline="sam-clip"):
    return sets_for(pipeline, find_sets())


def test_a_set_that_does_not_exist_is_not_offered(models_folder):
    assert "imaginary" not in [entry.id for entry in offered()]
    assert "'imaginary'" in find_models("imaginary").problem


def test_the_demo_set_is_here_and_is_called_what_it_is(models_folder):
    (demo,) = (entry for entry in offered() if entry.id == "demo")
    assert demo.is_here
    assert demo.label.startswith("Demo ")
    assert find_models("demo").problem == ""


def test_sets_that_are_here_come_before_the_others_which_say_so(models_folder):
    install(models_folder, "sam-l-clip-b16")
    entries = offered()
    is_here = [entry.is_here for entry in entries]
    assert is_here == sorted(is_here, reverse=True)
    labels = {entry.id: entry.label for entry in entries}
    assert labels["sam-l-clip-b16"] == "SAM ViT-L + CLIP ViT-B/16"
    assert labels["sam-b-clip-b16"] == "SAM ViT-B + CLIP ViT-B/16 (not downloaded)"
    assert labels["sam-b-skyclip-b32"] == "SAM ViT-B + SkyCLIP ViT-B/32 (unverified) (not downloaded)"
    assert find_models("sam-l-clip-b16").problem == ""


def test_an_imported_set_is_offered_by_its_name(models_folder):
    (models_folder / "mine").mkdir(parents=True)
    assert "mine" in [entry.id for entry in offered()]


def test_sets_of_another_method_are_not_offered(models_folder):
    assert "sam-l-clip-b16" not in [entry.id for entry in offered("another-method")]


def test_a_set_that_ships_has_its_own_values():
    assert find_models("demo").parameters["points_per_side"] == 12


def test_a_folder_with_a_manifest_has_its_own_values(tmp_path):
    write_manifest(tmp_path, points_per_side=7)
    assert find_models(str(tmp_path)).parameters == {"points_per_side": 7}
    assert find_models(str(tmp_path)).problem == ""


@pytest.mark.parametrize("content", ["nonsense", '{"id": "x"}'])
def test_a_manifest_that_cannot_be_read_has_none(tmp_path, content):
    (tmp_path / "models.json").write_text(content)
    assert find_models(str(tmp_path)).parameters == {}


@pytest.mark.parametrize("models", ["", "no such set"])
def test_what_does_not_exist_has_none(models):
    assert find_models(models).parameters == {}


def test_a_folder_may_bring_a_language_model(tmp_path):
    assert not find_models(str(tmp_path)).has_vlm
    (tmp_path / "vlm").mkdir()
    assert find_models(str(tmp_path)).has_vlm
