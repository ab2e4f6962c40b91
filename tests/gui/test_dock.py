from __future__ import annotations

import dataclasses

import pytest
from qgis.core import QgsRasterLayer, QgsVectorLayer
from qgis.gui import QgsCollapsibleGroupBox
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import QLabel, QWidget

from rs_textseg_plugin.contract.events import ClassSummary, Failed, Finished, Found, Progress
from rs_textseg_plugin.contract.recipe import DEVICES, PIPELINES
from rs_textseg_plugin.gui.dock import RsTextSegDock


@pytest.fixture
def dock(qtbot, model, layer):
    dock = RsTextSegDock(model)
    qtbot.addWidget(dock)
    dock.show()
    dock.activateWindow()
    return dock


def shown(dock, name):
    widget = dock.findChild(QWidget, name)
    return widget.text() if widget.isVisible() else None


def test_the_dock_starts_with_the_raster_of_the_project(dock, model, layer):
    assert model.layer is layer
    assert dock.objectName() == "RsTextSegDock"


def test_typing_a_class_list_enables_run(qtbot, dock):
    assert not dock.panel.run.isEnabled()
    qtbot.keyClicks(dock.form.text, "building, road")
    assert dock.panel.run.isEnabled()
    assert shown(dock, "textProblem") is None


def test_another_method_shows_its_own_parameters_and_its_source(qtbot, dock, model):
    method = dock.form.method
    assert [method.itemData(i) for i in range(method.count())] == list(PIPELINES)
    assert dock.form.parameters.findChild(QWidget, "parameter_points_per_side")
    method.setCurrentIndex(1)
    assert model.state.pipeline == "segearth-ov"
    assert dock.form.parameters.findChild(QWidget, "parameter_upsampling")
    assert "SegEarth-OV (CVPR 2025)" in method.toolTip()
    qtbot.keyClicks(dock.form.text, "building, road")
    with qtbot.waitSignal(model.submitted, timeout=1000) as submitted:
        model.submit()
    request = submitted.args[0]
    assert request.recipe.pipeline == "segearth-ov"
    assert request.recipe.checked_parameters()["logit_scale"] == 50


def test_a_wrong_class_list_is_explained_under_the_field_while_typing(qtbot, dock):
    qtbot.keyClicks(dock.form.text, "-shadow")
    assert "only negative classes" in shown(dock, "textProblem")
    assert not dock.panel.run.isEnabled()
    qtbot.keyClicks(dock.form.text, ", road")
    assert shown(dock, "textProblem") is None
    assert dock.panel.run.isEnabled()


def test_ctrl_return_runs_from_the_text_field_and_esc_cancels(qtbot, dock, model):
    qtbot.keyClicks(dock.form.text, "road")
    with qtbot.waitSignal(model.submitted, timeout=1000):
        qtbot.keyClick(dock.form.text, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    model.take_start()
    assert dock.panel.cancel.isEnabled()
    with qtbot.waitSignal(model.cancel_wanted, timeout=1000):
        qtbot.keyClick(dock.panel.cancel, Qt.Key.Key_Escape)


def test_a_click_on_run_submits_and_a_click_on_cancel_cancels(qtbot, dock, model):
    qtbot.keyClicks(dock.form.text, "road")
    with qtbot.waitSignal(model.submitted, timeout=1000):
        qtbot.mouseClick(dock.panel.run, Qt.MouseButton.LeftButton)
    model.take_start()
    assert not dock.panel.run.isEnabled()
    with qtbot.waitSignal(model.cancel_wanted, timeout=1000):
        qtbot.mouseClick(dock.panel.cancel, Qt.MouseButton.LeftButton)
    assert not dock.panel.cancel.isEnabled()
    assert shown(dock, "status") == "Stopping"


def test_the_widgets_change_the_model(dock, model):
    dock.form.extent.setCurrentText("Map canvas")
    dock.form.device.setCurrentText("CPU")
    dock.form.resolution.setValue(0.5)
    dock.form.parameters.findChild(QWidget, "parameter_points_per_side").setValue(8)
    dock.form.models.combo.setEditText("/models")
    assert model.state.extent_choice == "canvas"
    assert model.state.device == "cpu"
    assert model.state.ground_resolution_m == 0.5
    assert model.state.parameters == {"points_per_side": 8}
    assert model.state.models == "/models"


def test_every_device_can_be_chosen(dock, model):
    device = dock.form.device
    assert [device.itemData(row) for row in range(device.count())] == list(DEVICES)
    device.setCurrentText("MPS (Apple GPU)")
    assert model.state.typed({}).device == "mps"


def test_a_preset_is_picked_for_the_method_and_shown_in_the_parameters(dock, model):
    dock.form.method.setCurrentText("SegEarth-OV")
    preset = dock.form.preset
    assert [preset.itemData(row) for row in range(preset.count())] == ["", "segearth-published", "native"]
    stride = dock.form.parameters.findChild(QWidget, "parameter_clip_stride_px")
    assert stride.value() == 128  # what the demo set has
    preset.setCurrentIndex(2)
    preset.activated.emit(2)
    assert model.state.preset == "native"
    assert stride.value() == 112
    assert model.state.parameters == {}
    stride.setValue(56)
    assert model.state.parameters == {"clip_stride_px": 56}
    preset.setCurrentIndex(0)
    preset.activated.emit(0)
    assert stride.value() == 128
    assert model.state.parameters == {}


def test_presets_are_offered_where_the_method_has_some(dock, model, monkeypatch):
    assert dock.form.preset.isVisible()
    without = dataclasses.replace(PIPELINES["segearth-ov"], presets={})
    monkeypatch.setitem(PIPELINES, "segearth-ov", without)  # every method has one by now
    model.update(pipeline="segearth-ov")
    assert not dock.form.preset.isVisible()


def test_rasters_are_chosen_by_boxes(dock, model):
    box = dock.findChild(QWidget, "write_score_raster")
    assert not box.isChecked()
    box.setChecked(True)
    assert model.state.rasters == ("score_raster",)
    model.update(rasters=("label_raster",))
    assert not box.isChecked()
    assert dock.findChild(QWidget, "write_label_raster").isChecked()


def test_a_run_shows_tile_time_and_counts_and_blocks_the_form(dock, model):
    model.take_start()
    assert shown(dock, "status") == "Starting the engine"
    assert not dock.form.isEnabled()
    model.take_progress(Progress("segmenting", 2, 9, 0.25, 130.0))
    model.take_found(Found({"road": 4}))
    assert shown(dock, "status") == "Segmenting, tile 3 of 9, about 2 min left"
    assert shown(dock, "counts") == "Found so far: road 4"
    assert dock.panel.bar.value() == 25


def test_a_finished_run_shows_its_classes_and_notes(dock, model):
    model.take_start()
    model.take_finished(Finished("x.gpkg", (ClassSummary("road", "#ff0000", 3, 5.0, 0.8),), ("The CPU was used.",)))
    assert dock.panel.results.isVisible()
    assert dock.panel.results.rowCount() == 1
    assert shown(dock, "notes") == "The CPU was used."
    assert shown(dock, "counts") is None
    assert not dock.panel.bar.isVisible()
    assert dock.form.isEnabled()


def test_many_notes_scroll_and_leave_room_for_the_form(dock, model):
    dock.resize(320, 900)
    model.take_finished(Finished("x.gpkg", (), ("One note.",)))
    dock.panel.words.fit()
    few_px = dock.panel.words.height()
    model.take_finished(Finished("x.gpkg", (), tuple(f"Note {number} is rather long." for number in range(50))))
    many_px = dock.panel.words.height()
    assert 20 < few_px < many_px <= 200
    assert dock.panel.words.widget().height() > 500  # all of them can be scrolled to


def test_a_failed_run_says_why_until_the_next_one(dock, model):
    model.take_start()
    model.take_failed(Failed("EngineUnavailable", "Run these commands."))
    assert shown(dock, "failure") == "Run these commands."
    model.take_start()
    assert shown(dock, "failure") is None


def test_the_active_raster_layer_is_followed_and_other_layers_are_not(dock, model, layer, project, make_raster):
    second = QgsRasterLayer(str(make_raster("second.tif")), "second")
    points = QgsVectorLayer("Point", "points", "memory")
    project.addMapLayers([second, points])
    dock.follow_active_layer(second)
    assert model.layer is second
    dock.follow_active_layer(points)
    dock.follow_active_layer(None)
    assert model.layer is second
    model.take_start()
    dock.follow_active_layer(layer)
    assert model.layer is second


def test_removing_the_layer_says_that_one_is_needed(dock, model, layer, project):
    project.removeMapLayer(layer.id())
    assert shown(dock, "layerProblem") == "Choose a raster layer."


def test_what_was_remembered_is_shown(qtbot, model, layer):
    model.update(text="water", extent_choice="canvas", device="cpu")
    dock = RsTextSegDock(model)
    qtbot.addWidget(dock)
    assert dock.form.text.toPlainText() == "water"
    assert dock.form.extent.currentData() == "canvas"
    assert dock.form.device.currentData() == "cpu"


def test_labels_have_buddies_and_no_trailing_colons(dock):
    labels = [label for label in dock.findChildren(QLabel) if label.buddy() is not None]
    assert len(labels) > 8
    assert [label.text() for label in labels if label.text().endswith(":")] == []


def test_every_field_has_a_name_and_a_tooltip(dock):
    form = dock.form
    fields = [form.layer, form.extent, form.text, form.method, form.models.combo, form.resolution, form.device]
    assert all(field.objectName() and field.toolTip() for field in fields)


def test_the_dock_fits_a_small_screen(dock):
    size = dock.minimumSizeHint()
    assert size.width() <= 580
    assert size.height() <= 600


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_the_dock_can_be_used_at_320_pixels(qtbot, dock, model, pipeline):
    model.update(pipeline=pipeline, question_kind="phrase")
    model.take_finished(Finished("x.gpkg", (ClassSummary("road", "#ff0000", 3, 5.0, 0.8),), ("A note.",)))
    dock.findChild(QgsCollapsibleGroupBox, "advancedGroup").setCollapsed(False)
    dock.resize(320, 900)
    qtbot.wait(10)
    assert dock.minimumSizeHint().width() <= 320
    assert dock.form.minimumSizeHint().width() <= 284  # what a scroll bar leaves: the form does not scroll sideways
