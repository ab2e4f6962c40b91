from __future__ import annotations

import pytest
from qgis.PyQt.QtWidgets import QFileDialog, QWidget

from rs_textseg_plugin.contract.catalog import load_catalog
from rs_textseg_plugin.gui.query.model_picker import ModelPicker
from rs_textseg_plugin.gui.query.query_form import QueryForm
from rs_textseg_plugin.gui.state.model_sets import find_sets, sets_for


@pytest.fixture
def models_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RS_TEXTSEG_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def offered():
    return sets_for("sam-clip", find_sets())


def install(models_folder, name):
    entry = next(entry for entry in load_catalog() if entry.id == name)
    for file in entry.files:
        (models_folder / name).mkdir(parents=True, exist_ok=True)
        (models_folder / name / file.name).touch()


def test_the_picker_shows_titles_and_tells_ids(qtbot, qgis_app, models_folder):
    picker = ModelPicker()
    qtbot.addWidget(picker)
    picker.show_models(offered(), "sam-b-clip-b16")
    assert picker.combo.currentText() == "SAM ViT-B + CLIP ViT-B/16 (not downloaded)"
    with qtbot.waitSignal(picker.picked, timeout=1000) as picked:
        picker.combo.setCurrentIndex(picker.combo.findText("SAM ViT-L + CLIP ViT-B/16 (not downloaded)"))
    assert picked.args == ["sam-l-clip-b16"]


def test_a_folder_can_be_typed_or_chosen(qtbot, qgis_app, models_folder, monkeypatch, tmp_path):
    picker = ModelPicker()
    qtbot.addWidget(picker)
    picker.show_models(offered(), "demo")
    picked = []
    picker.picked.connect(picked.append)
    picker.combo.setEditText("/some/folder")
    assert picked[-1] == "/some/folder"
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))  # a person's click
    picker.findChild(object, "modelsFolder").click()
    assert picked[-1] == str(tmp_path)


@pytest.fixture
def form(qtbot, model, models_folder):
    """A form with a set that is not here, hidden."""
    form = QueryForm(model)
    qtbot.addWidget(form)
    model.refresh()
    model.update(models="sam-l-clip-b16")
    return form


def test_a_set_that_arrives_while_the_dock_is_hidden_is_here_when_it_is_shown(form, model, models_folder):
    assert "models fetch sam-l-clip-b16" in model.problems.models
    install(models_folder, "sam-l-clip-b16")
    form.show()
    assert form.models.combo.currentText() == "SAM ViT-L + CLIP ViT-B/16"
    assert model.problems.models == ""


def test_a_set_that_arrives_while_the_dock_is_shown_is_here_when_the_list_is_opened(form, model, models_folder):
    form.show()
    install(models_folder, "sam-l-clip-b16")
    assert model.problems.models
    form.models.combo.showPopup()
    assert form.models.combo.currentText() == "SAM ViT-L + CLIP ViT-B/16"
    assert model.problems.models == ""
    form.models.combo.hidePopup()


def test_a_set_that_was_fetched_in_a_terminal_is_here_when_the_user_comes_back(qtbot, form, model, models_folder):
    form.show()
    terminal = QWidget()
    qtbot.addWidget(terminal)
    terminal.show()
    terminal.activateWindow()
    qtbot.waitUntil(lambda: not form.isActiveWindow())
    install(models_folder, "sam-l-clip-b16")
    form.activateWindow()
    qtbot.waitUntil(lambda: model.problems.models == "", timeout=1000)
    assert form.models.combo.currentText() == "SAM ViT-L + CLIP ViT-B/16"
