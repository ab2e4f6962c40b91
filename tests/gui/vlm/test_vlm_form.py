from __future__ import annotations

import pytest
from authentication import store_configuration
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import QComboBox, QWidget

from rs_textseg_plugin.gui.query.query_form import QueryForm
from rs_textseg_plugin.gui.state.vlm_choice import VlmChoice
from rs_textseg_plugin.host.server.consent import consent

URL = "https://api.example.org/v1"


@pytest.fixture
def form(qtbot, model, layer):
    form = QueryForm(model)
    qtbot.addWidget(form)
    form.show()
    model.update(layer_id=layer.id(), pipeline="vlm-sam", phrase="the grey roof")
    return form.vlm


def test_it_is_shown_for_the_method_with_a_language_model_and_has_its_parameters_to_itself(form, model):
    others = form.parent().findChildren(QWidget)
    assert form.isVisible()
    names = {widget.objectName() for widget in others}
    assert "parameter_view_px" in names
    assert not names & {f"parameter_{name}" for name in ("base_url", "model", "vlm", "adapter", "clicks")}
    model.update(pipeline="sam-clip")
    assert not form.isVisible()


def test_address_and_model_are_typed(qtbot, form, model):
    assert "Type the address" in form.problem.text()
    qtbot.keyClicks(form.base_url, URL)
    assert "Type the name of a model" in form.problem.text()
    qtbot.keyClicks(form.server_model, "gpt-5")
    assert not form.problem.isVisible()
    assert model.can_run
    assert model.build_request().recipe.parameters == {"base_url": URL, "model": "gpt-5"}


def test_a_folder_is_the_other_choice(qtbot, form, model, tmp_path):
    qtbot.mouseClick(form.places["folder"], Qt.MouseButton.LeftButton)
    assert not form.base_url.isVisible()
    form.folder.setFilePath(str(tmp_path))
    request = model.build_request()
    assert request.recipe.parameters == {"vlm": str(tmp_path)}
    assert request.consent_to_send == ""


def test_the_key_is_a_configuration_of_qgis_and_only_its_id_is_known(form, model):
    configuration = store_configuration(password="sk-very-secret")
    model.update(vlm=VlmChoice(base_url=URL, model="gpt-5"))
    form.key.setConfigId(configuration)
    assert model.state.vlm.authcfg == configuration
    assert "sk-very-secret" not in repr(model.state)
    assert "sk-very-secret" not in repr(model.build_request())


def test_a_remembered_configuration_is_shown(qtbot, model, layer):
    # QGIS lists configurations of the same name once.
    configuration = store_configuration(name="remembered", password="sk-very-secret")
    model.update(layer_id=layer.id(), pipeline="vlm-sam", vlm=VlmChoice(base_url=URL, authcfg=configuration))
    form = QueryForm(model)
    qtbot.addWidget(form)
    assert form.vlm.key is None  # the store is left alone until it is needed
    form.show()
    model.changed.emit()
    assert form.vlm.key.configId() == configuration
    assert form.vlm.key.findChild(QComboBox).currentData() == configuration


def test_consent_is_told_and_can_be_taken_back(qtbot, form, model):
    model.update(vlm=VlmChoice(base_url=URL, model="gpt-5"))
    assert "Nothing is sent before you agree" in form.consent.text()
    assert not form.take_back.isVisible()
    consent(URL)
    model.refresh()
    assert form.consent.text() == "Pictures may be sent to this address."
    qtbot.mouseClick(form.take_back, Qt.MouseButton.LeftButton)
    assert not model.has_consent
    assert not form.take_back.isVisible()


def test_a_configuration_that_does_not_exist_is_not_taken_for_none(form, model):
    model.update(vlm=VlmChoice(base_url=URL, model="gpt-5"))
    model.update(vlm=VlmChoice(base_url=URL, model="gpt-5", authcfg="abc1234"))
    model.changed.emit()
    assert model.state.vlm.authcfg == "abc1234"
