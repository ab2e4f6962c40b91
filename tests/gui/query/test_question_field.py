from __future__ import annotations

import pytest
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import QMenu

from rs_textseg_plugin.gui.query.question_field import QuestionField
from rs_textseg_plugin.gui.state.query_model import QueryModel
from rs_textseg_plugin.host.settings import LAST_WORD_LIST


@pytest.fixture
def field(qtbot, model, layer):
    field = QuestionField(model)
    qtbot.addWidget(field)
    model.changed.connect(field.show_question)
    model.update(layer_id=layer.id(), pipeline="text2seg")
    field.show()
    return field


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_where_both_are_answered_the_user_chooses_and_both_texts_are_kept(qtbot, field, model):
    qtbot.keyClicks(field.text, "house, road")
    click(qtbot, field.kinds["phrase"])
    assert field.text.toPlainText() == ""
    qtbot.keyClicks(field.text, "the largest house")
    click(qtbot, field.kinds["classes"])
    assert field.text.toPlainText() == "house, road"
    assert (model.state.text, model.state.phrase) == ("house, road", "the largest house")


@pytest.mark.parametrize(("pipeline", "offered"), [("sam-clip", False), ("text2seg", True), ("grounding-sam", True)])
def test_the_choice_is_offered_where_there_is_one(field, model, pipeline, offered):
    model.update(pipeline=pipeline)
    assert [button.isVisible() for button in field.kinds.values()] == [offered, offered]
    assert field.label.isVisible() is not offered
    assert field.word_lists.isVisible()


def test_the_reading_of_a_phrase_is_shown_while_it_is_typed(qtbot, field, model):
    model.update(question_kind="phrase")
    assert not field.reading.isVisible()
    qtbot.keyClicks(field.text, "2 largest houses near a road")
    assert field.reading.text() == "Read as: the 2 largest 'houses' within 50 m of 'road'."
    assert field.reading.isVisible()
    qtbot.keyClicks(field.text, " between fields")
    assert "Not understood as a place or size: 'between'" in field.reading.text()
    click(qtbot, field.kinds["classes"])
    assert not field.reading.isVisible()


def test_a_phrase_that_cannot_be_read_is_a_problem_under_the_field(qtbot, field, model):
    model.update(question_kind="phrase")
    qtbot.keyClicks(field.text, "near a road")
    assert "does not say what to look for" in field.problem.text()
    assert not model.can_run


def test_a_phrase_is_asked_as_such(qtbot, field, model):
    model.update(question_kind="phrase", phrase="house near a road")
    with qtbot.waitSignal(model.submitted, timeout=1000) as submitted:
        model.submit()
    request = submitted.args[0]
    assert request.query.phrase == "house near a road"
    assert [spec.name for spec in request.query.positives] == ["house", "road"]
    assert request.output.path.endswith("_house-near-a-road.gpkg")


def test_a_list_that_was_picked_is_in_the_field_and_can_be_edited(qtbot, field, model):
    field.word_lists.fill_menu()
    (published,) = [menu for menu in field.word_lists.menu().findChildren(QMenu) if menu.title() == "Published Lists"]
    next(action for action in published.actions() if action.text() == "loveda").trigger()
    assert field.text.toPlainText().startswith("-background, building|roof|house, road")
    field.text.moveCursor(field.text.textCursor().MoveOperation.End)
    qtbot.keyClicks(field.text, ", pond")
    assert model.state.text.endswith("agricultural, pond")


def test_class_lists_are_not_offered_beside_a_phrase(field, model):
    model.update(question_kind="phrase")
    assert not field.word_lists.isVisible()


def test_what_a_list_cannot_do_is_told_like_other_refusals(qtbot, field, model):
    with qtbot.waitSignal(model.refused, timeout=1000) as refused:
        field.word_lists.refused.emit("It cannot be read.")
    assert refused.args == ["It cannot be read."]


def pick(field, name):
    field.word_lists.fill_menu()
    (published,) = [menu for menu in field.word_lists.menu().findChildren(QMenu) if menu.title() == "Published Lists"]
    next(action for action in published.actions() if action.text() == name).trigger()


def test_what_a_list_says_for_the_preset_is_shown_and_asked_for_while_its_text_is_the_list_s(qtbot, field, model):
    model.update(pipeline="segearth-ov", preset="segearth-published")
    pick(field, "loveda")
    assert field.reading.text() == "With the preset segearth-published, this class list sets prob_threshold=0.3."
    assert field.reading.isVisible()
    assert model.base_values["prob_threshold"] == 0.3
    with qtbot.waitSignal(model.submitted, timeout=1000) as submitted:
        model.submit()
    recipe = submitted.args[0].recipe
    assert (recipe.list_parameters, recipe.parameters) == ({"prob_threshold": 0.3}, {})
    model.update(preset="native")
    assert (field.reading.isVisible(), model.base_values["prob_threshold"]) == (False, None)
    model.update(preset="segearth-published", text=model.state.text + ", pond")
    assert (field.reading.isVisible(), model.base_values["prob_threshold"]) == (False, None)


def test_the_list_that_was_asked_is_remembered_and_one_that_is_gone_is_none(qtbot, field, model, project):
    model.update(pipeline="segearth-ov", preset="segearth-published")
    pick(field, "udd5")
    model.submit()
    again = QueryModel(project, lambda: None)
    again.update(preset="segearth-published")
    assert again.base_values["prob_threshold"] == 0.4
    LAST_WORD_LIST.write("no such list")
    assert QueryModel(project, lambda: None).state.word_list is None
