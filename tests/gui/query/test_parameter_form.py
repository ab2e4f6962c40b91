from __future__ import annotations

import pytest
from qgis.PyQt.QtWidgets import QCheckBox

from rs_textseg_plugin.contract.recipe import PIPELINES, PRESETS, Parameter
from rs_textseg_plugin.gui.query.parameter_form import ParameterForm, make_editor, read_editor, tooltip, write_editor
from rs_textseg_plugin.gui.state.base_values import base_values
from rs_textseg_plugin.gui.state.model_sets import find_models

pytestmark = pytest.mark.usefixtures("qgis_app")

KINDS = [
    (Parameter("points", 20, "int", "Points.", "paper", 1, 128), 8),
    (Parameter("share", 0.88, "float", "Share.", "paper", 0, 1), 0.5),
    (Parameter("area_m2", 1.0, "float", "Area.", "ours", 0), 250.25),
    (Parameter("mode", "vote", "str", "Mode.", "paper", choices=("vote", "crop")), "crop"),
    (Parameter("word", "background", "str", "Word.", "paper"), "soil|sand"),
    (Parameter("flag", True, "bool", "Flag.", "paper"), False),
    (Parameter("simplify_m", None, "float", "Tolerance.", "ours", 0), 0.0),
    (Parameter("count", None, "int", "Count.", "ours", 1), 1),
    (Parameter("kind", None, "str", "Kind.", "ours", choices=("a", "b")), "b"),
    (Parameter("name", None, "str", "Name.", "ours"), "x"),
]


@pytest.mark.parametrize(("parameter", "other"), KINDS, ids=[parameter.name for parameter, _ in KINDS])
def test_an_editor_starts_at_the_default_and_gives_back_what_was_written(parameter, other):
    editor, _ = make_editor(parameter)
    assert read_editor(editor, parameter) == parameter.default
    write_editor(editor, parameter, other)
    read = read_editor(editor, parameter)
    assert read == other
    assert type(read) is type(other)
    write_editor(editor, parameter, None if parameter.default is None else parameter.default)
    assert read_editor(editor, parameter) == parameter.default


@pytest.mark.parametrize(("parameter", "other"), KINDS, ids=[parameter.name for parameter, _ in KINDS])
def test_an_editor_offers_only_values_that_the_parameter_takes(parameter, other):
    editor, _ = make_editor(parameter)
    if hasattr(editor, "maximum"):
        editor.setValue(10**9)
        parameter.read(read_editor(editor, parameter))
        editor.setValue(-(10**9))
        parameter.read(read_editor(editor, parameter))
    write_editor(editor, parameter, other)
    assert parameter.read(read_editor(editor, parameter)) == other


def test_every_pipeline_has_a_form_that_starts_without_any_value():
    for info in PIPELINES.values():
        form = ParameterForm()
        form.show_parameters(info.parameters)
        assert form.values() == {}


def test_only_values_that_differ_from_the_default_are_given():
    form = ParameterForm()
    form.show_parameters(tuple(parameter for parameter, _ in KINDS))
    form.show_values({"points": 8, "share": 0.88, "mode": "crop"})
    assert form.values() == {"points": 8, "mode": "crop"}
    form.show_values({})
    assert form.values() == {}


def test_ways_to_vote_have_editors_that_give_back_their_values():
    form = ParameterForm()
    form.show_parameters(PIPELINES["sam-clip"].parameters)
    values = {
        "vote": "majority",
        "vote_weight": 2.5,
        "region_prompts": True,
        "region_min_px": 30,
        "region_max_points": 0,
    }
    form.show_values(values)
    assert form.values() == values
    assert form.findChild(QCheckBox, "parameter_region_prompts").isChecked()


def test_an_edit_is_told(qtbot):
    form = ParameterForm()
    form.show_parameters((KINDS[0][0],))
    with qtbot.waitSignal(form.changed, timeout=1000):
        form.findChild(object, "parameter_points").setValue(3)
    assert form.values() == {"points": 3}


def test_the_tooltip_says_what_a_parameter_does_and_where_its_default_comes_from():
    text = tooltip(Parameter("cls_weight", 0.3, "float", "How much of <CLS> is subtracted.", "SegEarth-OV"))
    assert "How much of &lt;CLS&gt; is subtracted." in text
    assert "Default: 0.3 (SegEarth-OV)" in text
    assert "cls_weight" in text


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_shown_as_it_is_and_counts_as_nothing_that_the_user_set(name):
    info = next(info for info in PIPELINES.values() if name in info.presets)
    base = base_values(info.name, name, find_models("demo").parameters)
    form = ParameterForm()
    form.show_parameters(info.parameters)
    form.show_values({}, base)
    assert form.values() == {}
    shown = {p.name: read_editor(form.findChild(object, f"parameter_{p.name}"), p) for p in info.parameters}
    assert shown == base


def test_what_differs_from_the_base_is_given_although_it_is_the_default(qtbot):
    form = ParameterForm()
    form.show_parameters((KINDS[0][0],))
    form.show_values({}, {"points": 12})
    box = form.findChild(object, "parameter_points")
    assert box.value() == 12
    box.setValue(20)
    assert form.values() == {"points": 20}
    box.clear()
    assert box.value() == 12


def test_showing_values_is_no_edit(qtbot):
    form = ParameterForm()
    form.show_parameters((KINDS[0][0],))
    with qtbot.assertNotEmitted(form.changed):
        form.show_values({"points": 3})
