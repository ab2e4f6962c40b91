from __future__ import annotations

import pytest
from qgis.gui import QgsNewNameDialog
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import QApplication, QDialogButtonBox, QLineEdit, QMessageBox

from rs_textseg_plugin.contract.text.word_list import find_word_list, known_word_lists, own_lists_home, save_word_list
from rs_textseg_plugin.gui.query.word_list_button import WordListButton


@pytest.fixture
def button(qtbot):
    button = WordListButton(lambda: "ship|boat, pier")
    qtbot.addWidget(button)
    button.refusals = []
    button.refused.connect(button.refusals.append)
    return button


def actions(menu):
    return {action.text(): action for action in menu.actions() if not action.isSeparator()}


def open_menu(button):
    button.fill_menu()
    return actions(button.menu())


def answer(dialog_kind, act):
    """Do something with the next modal dialog as soon as it is there."""

    def look():
        dialog = QApplication.activeModalWidget()
        if isinstance(dialog, dialog_kind):
            act(dialog)
        else:
            QTimer.singleShot(20, look)

    QTimer.singleShot(0, look)


def name_it(name, button=QDialogButtonBox.StandardButton.Ok):
    def act(dialog):
        dialog.findChild(QLineEdit).setText(name)
        dialog.findChild(QDialogButtonBox).button(button).click()

    answer(QgsNewNameDialog, act)


def test_published_lists_lie_in_a_menu_of_their_own_and_say_where_they_come_from(button):
    published = actions(open_menu(button)["Published Lists"].menu())
    assert list(published) == [entry.name for entry in known_word_lists()]
    assert "SegEarth-OV" in published["loveda"].toolTip()
    assert "barren" in published["loveda"].toolTip()


def test_a_list_that_is_clicked_is_picked(qtbot, button):
    published = actions(open_menu(button)["Published Lists"].menu())
    with qtbot.waitSignal(button.picked, timeout=1000) as picked:
        published["potsdam"].trigger()
    assert picked.args[0].text.startswith("road|parking lot, building")


def test_the_typed_list_is_saved_under_a_name_and_can_be_picked_from_then_on(button):
    name_it("harbour")
    open_menu(button)["Save as…"].trigger()
    assert find_word_list("harbour").text == "ship|boat, pier"
    assert "harbour" in open_menu(button)
    assert button.refusals == []


def test_a_dialog_that_was_cancelled_saves_nothing(button):
    name_it("harbour", QDialogButtonBox.StandardButton.Cancel)
    button.ask_and_save()
    assert not own_lists_home().exists()


def test_ones_own_list_is_edited_by_saving_it_under_its_name(button):
    save_word_list("harbour", "crane")
    open_menu(button)["harbour"].trigger()
    answer(QgsNewNameDialog, lambda dialog: dialog.findChild(QDialogButtonBox).buttons()[0].click())
    button.ask_and_save()  # the name is there already
    assert find_word_list("harbour").text == "ship|boat, pier"


@pytest.mark.parametrize(("choice", "left"), [("Yes", False), ("No", True)])
def test_ones_own_list_is_removed_after_a_question(button, choice, left):
    save_word_list("harbour", "crane")
    remove = actions(open_menu(button)["Remove"].menu())
    assert list(remove) == ["harbour"]
    answer(QMessageBox, lambda box: box.button(getattr(QMessageBox.StandardButton, choice)).click())
    remove["harbour"].trigger()
    assert ("harbour" in open_menu(button)) == left


def test_without_a_list_of_ones_own_there_is_nothing_to_remove(button):
    assert not open_menu(button)["Remove"].isEnabled()


def test_a_name_that_is_none_is_told_in_words(button):
    name_it("../up")
    button.ask_and_save()
    assert "no plain name" in button.refusals[0]


def test_a_list_that_cannot_be_read_is_told_and_the_menu_still_opens(button):
    own_lists_home().mkdir(parents=True)
    (own_lists_home() / "broken.txt").write_bytes(b"\xff\xfe")
    assert "Save as…" in open_menu(button)
    assert "broken.txt cannot be read" in button.refusals[0]
