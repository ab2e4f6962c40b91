"""Nothing is sent before the user agreed."""

from __future__ import annotations

import pytest
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import QApplication, QMessageBox

from rs_textseg_plugin.gui.dock import RsTextSegDock
from rs_textseg_plugin.gui.state.query_state import Sending
from rs_textseg_plugin.gui.state.vlm_choice import VlmChoice
from rs_textseg_plugin.gui.vlm.consent_question import user_consents
from rs_textseg_plugin.host.server.consent import consented_addresses

URL = "https://api.example.org/v1"
YES, NO = QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.No


@pytest.fixture
def dock(qtbot, model, layer):
    dock = RsTextSegDock(model)
    qtbot.addWidget(dock)
    dock.show()
    choice = VlmChoice(base_url=URL, model="gpt-5")
    model.update(layer_id=layer.id(), pipeline="vlm-sam", phrase="the grey roof", vlm=choice)
    dock.submitted = []
    model.submitted.connect(dock.submitted.append)
    return dock


def answering(button, seen):
    """Answer the next question, and keep what it said."""

    def look():
        box = QApplication.activeModalWidget()
        if box is None:
            QTimer.singleShot(20, look)
            return
        seen.append((box.text(), box.informativeText(), box.defaultButton() is box.button(NO)))
        box.button(button).click()

    QTimer.singleShot(0, look)


def test_the_user_is_told_what_leaves_to_where_and_how_often_and_no_is_the_usual_answer(dock, model):
    seen = []
    answering(NO, seen)
    model.submit()
    ((text, more, no_is_default),) = seen
    assert text == "Pictures of the raster will leave this computer and be sent to api.example.org."
    assert f"Address: {URL}" in more
    assert "It is one picture for this run." in more
    assert "A drawn picture without your data may be sent before them" in more
    assert no_is_default


def test_after_no_nothing_is_sent_and_the_question_comes_again(dock, model):
    seen = []
    for _ in range(2):
        answering(NO, seen)
        model.submit()
    assert len(seen) == 2
    assert dock.submitted == []


def test_after_yes_it_runs_and_the_question_does_not_come_again(dock, model):
    seen = []
    answering(YES, seen)
    model.submit()
    model.submit()
    assert len(seen) == 1
    assert [request.consent_to_send for request in dock.submitted] == [URL, URL]
    assert consented_addresses() == {URL}


def test_another_address_is_another_question(dock, model):
    seen = []
    answering(YES, seen)
    model.submit()
    model.update(vlm=VlmChoice(base_url="https://other.example.org/v1", model="gpt-5"))
    answering(NO, seen)
    model.submit()
    assert "other.example.org" in seen[1][0]
    assert len(dock.submitted) == 1


def test_consent_that_was_taken_back_is_asked_for_again(dock, model):
    seen = []
    answering(YES, seen)
    model.submit()
    model.take_consent_back()
    answering(NO, seen)
    model.submit()
    assert len(seen) == 2


def test_a_model_in_a_folder_needs_no_consent(dock, model, tmp_path):
    model.update(vlm=VlmChoice("folder", base_url=URL, folder=str(tmp_path)))
    model.submit()
    (request,) = dock.submitted
    assert request.consent_to_send == ""


@pytest.mark.parametrize(
    ("sending", "words"),
    [
        (Sending("http://localhost:8000/v1", True, 1), "a server on this computer, localhost:8000"),
        (Sending(URL, False, 12), "They are about 12 for this run."),
        (Sending(URL, False, None), "Their number is not known yet."),
        (Sending("http://host/v1", False, 1), "others on the way can read all of it"),
    ],
)
def test_what_is_asked_fits_what_is_known(qtbot, sending, words):
    seen = []
    answering(NO, seen)
    assert not user_consents(sending)
    assert any(words in text for text in seen[0][:2])
    assert any("others on the way" in text for text in seen[0][:2]) is (sending.base_url == "http://host/v1")
