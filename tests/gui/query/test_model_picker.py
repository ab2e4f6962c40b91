from __future__ import annotations

import pytest
from qgis.PyQt.QtWidgets import QFileDialog

from rs_textseg_plugin.contract.catalog import load_catalog
from rs_textseg_plugin.gui.query.model_picker import ModelPicker
from rs_textseg_plugin.gui.state.model_choices import model_choices, why_not_usable


@pytest.fixture
def models_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RS_TEXTSEG_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def install(models_folder, name):
    entry = next(entry for entry in load_catalog() if entry.id == name)
    for file in entry.files:
        (models_folder / name).mkdir(parents=True, exist_ok=True)
        (models_folder / name / file.name).touch()


def test_a_set_that_does_not_exist_is_not_offered(models_folder):
    assert "imaginary" not in [choice.id for choice in model_choices("sam-clip")]
    assert "'imaginary'" in why_not_usable("imaginary")


def test_the_demo_set_is_here_and_is_called_what_it_is(models_folder):
    (demo,) = (choice for choice in model_choices("sam-clip") if choice.id == "demo")
    assert demo.is_here
    assert demo.label.startswith("Demo ")
    assert why_not_usable("demo") == ""


def test_sets_that_are_here_come_before_the_others_which_say_so(models_folder):
    install(models_folder, "sam-l-clip-b16")
    choices = model_choices("sam-clip")
    is_here = [choice.is_here for choice in choices]
    assert is_here == sorted(is_here, reverse=True)
    labels = {choice.id: choice.label for choice in choices}
    assert labels["sam-l-clip-b16"] == "SAM ViT-L + CLIP ViT-B/16"
    assert labels["sam-b-clip-b16"] == "SAM ViT-B + CLIP ViT-B/16 (not downloaded)"
    assert why_not_usable("sam-l-clip-b16") == ""


def test_an_imported_set_is_offered_by_its_name(models_folder):
    (models_folder / "mine").mkdir(parents=True)
    assert "mine" in [choice.id for choice in model_choices("sam-clip")]


def test_sets_of_another_method_are_not_offered(models_folder):
    assert "sam-l-clip-b16" not in [choice.id for choice in model_choices("another-method")]


def test_the_picker_shows_titles_and_tells_ids(qtbot, qgis_app, models_folder):
    picker = ModelPicker()
    qtbot.addWidget(picker)
    picker.show_models("sam-clip", "sam-b-clip-b16")
    assert picker.combo.currentText() == "SAM ViT-B + CLIP ViT-B/16 (not downloaded)"
    with qtbot.waitSignal(picker.picked, timeout=1000) as picked:
        picker.combo.setCurrentIndex(picker.combo.findText("SAM ViT-L + CLIP ViT-B/16 (not downloaded)"))
    assert picked.args == ["sam-l-clip-b16"]


def test_a_folder_can_be_typed_or_chosen(qtbot, qgis_app, models_folder, monkeypatch, tmp_path):
    picker = ModelPicker()
    qtbot.addWidget(picker)
    picker.show_models("sam-clip", "demo")
    picked = []
    picker.picked.connect(picked.append)
    picker.combo.setEditText("/some/folder")
    assert picked[-1] == "/some/folder"
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))  # a person's click
    picker.findChild(object, "modelsFolder").click()
    assert picked[-1] == str(tmp_path)


def test_a_set_that_arrives_while_the_dock_is_hidden_is_here_when_it_is_shown(qtbot, qgis_app, models_folder):
    picker = ModelPicker()
    qtbot.addWidget(picker)
    picker.show_models("sam-clip", "sam-l-clip-b16")
    install(models_folder, "sam-l-clip-b16")
    picker.show()
    assert picker.combo.currentText() == "SAM ViT-L + CLIP ViT-B/16"
