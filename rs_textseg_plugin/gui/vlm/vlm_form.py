"""The group of the dock in which the vision-language model is chosen."""

from __future__ import annotations

import dataclasses

from qgis.gui import QgsAuthConfigSelect, QgsFileWidget
from qgis.PyQt.QtWidgets import (
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QRadioButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from rs_textseg_plugin.gui.parts.problem_label import ProblemLabel
from rs_textseg_plugin.gui.state.query_model import QueryModel
from rs_textseg_plugin.gui.state.vlm_choice import ENDPOINT, FOLDER
from rs_textseg_plugin.host.translate import tr

_PLACES = {ENDPOINT: "Endpoint", FOLDER: "Folder"}


class VlmForm(QGroupBox):
    """Endpoint or folder, bound to the model in both directions."""

    def __init__(self, model: QueryModel, parent: QWidget | None = None) -> None:
        super().__init__(tr("Language Model"), parent)
        self.setObjectName("vlmGroup")
        self._model = model
        self._make_widgets()
        layout = QVBoxLayout(self)
        layout.addLayout(self._place_buttons())
        self.pages = {ENDPOINT: self._endpoint_page(), FOLDER: self._folder_page()}
        for widget in (*self.pages.values(), self.problem):
            layout.addWidget(widget)
        self._connect()

    def show_choice(self) -> None:
        """Show what the model holds; a widget that already does is not touched."""
        choice = self._model.state.vlm
        for place, page in self.pages.items():
            self.places[place].setChecked(place == choice.place)
            page.setVisible(place == choice.place)
        for field, text in ((self.base_url, choice.base_url), (self.server_model, choice.model)):
            if field.text() != text:
                field.setText(text)
        for widget, path in ((self.folder, choice.folder), (self.adapter, choice.adapter)):
            if widget.filePath() != path:
                widget.setFilePath(path)
        if self.isVisible() and choice.place == ENDPOINT:
            self._show_key(choice.authcfg)
        self._show_consent()
        self.problem.show_problem(self._model.problems.vlm)

    def _make_widgets(self) -> None:
        self.places = {place: QRadioButton(tr(title), self) for place, title in _PLACES.items()}
        self.base_url = _line("baseUrl", "http://localhost:8000/v1", tr("Address of an OpenAI-compatible server"))
        self.server_model = _line("serverModel", "gpt-5", tr("Name of the model, as the server calls it"))
        self._shown_key = ""
        self.key: QgsAuthConfigSelect | None = None  # made when it is shown: it opens QGIS's authentication store
        self.folder = _folder(
            "vlmFolder", tr("Folder with a Qwen2.5-VL or Qwen3-VL in Hugging Face layout; empty: the one of the models")
        )
        self.adapter = _folder("adapterFolder", tr("Folder with a LoRA adapter for it; empty: none"))
        self.consent = QLabel()
        self.consent.setObjectName("consent")
        self.consent.setWordWrap(True)
        self.take_back = QToolButton()
        self.take_back.setObjectName("takeBackConsent")
        self.take_back.setText(tr("Take Back"))
        self.take_back.setToolTip(tr("Ask again before pictures are sent to this address"))
        self.problem = ProblemLabel("vlmProblem")

    def _place_buttons(self) -> QHBoxLayout:
        layout = QHBoxLayout()
        for place, button in self.places.items():
            button.setObjectName(f"vlm_{place}")
            layout.addWidget(button)
        self.places[ENDPOINT].setToolTip(tr("A model behind an OpenAI-compatible server; pictures are sent there"))
        self.places[FOLDER].setToolTip(tr("A Qwen-VL model on this computer; nothing is sent anywhere"))
        layout.addStretch(1)
        return layout

    def _endpoint_page(self) -> QWidget:
        page, form = _page()
        _add(form, tr("Address"), self.base_url)
        _add(form, tr("Model"), self.server_model)
        self._key_label, self._key_place = QLabel(tr("Key")), QVBoxLayout()
        form.addRow(self._key_label, self._key_place)
        sending = QHBoxLayout()
        sending.addWidget(self.consent, 1)
        sending.addWidget(self.take_back)
        form.addRow(sending)
        return page

    def _folder_page(self) -> QWidget:
        page, form = _page()
        _add(form, tr("Model"), self.folder)
        _add(form, tr("Adapter"), self.adapter)
        return page

    def _connect(self) -> None:
        for place, button in self.places.items():
            button.clicked.connect(lambda _, place=place: self._update(place=place))
        self.base_url.textEdited.connect(lambda text: self._update(base_url=text))
        self.server_model.textEdited.connect(lambda text: self._update(model=text))
        self.folder.fileChanged.connect(lambda path: self._update(folder=path))
        self.adapter.fileChanged.connect(lambda path: self._update(adapter=path))
        self.take_back.clicked.connect(lambda _: self._model.take_consent_back())

    def _update(self, **choices: str) -> None:
        self._model.update(vlm=dataclasses.replace(self._model.state.vlm, **choices))

    def _show_key(self, authcfg: str) -> None:
        if self.key is None:
            self.key = QgsAuthConfigSelect(self)
            self.key.setObjectName("key")
            self.key.setToolTip(tr("Where QGIS keeps the key: the password of a configuration; none for no key"))
            self._key_label.setBuddy(self.key)
            self._key_place.addWidget(self.key)
            self.key.setConfigId(authcfg)
            self.key.selectedConfigIdChanged.connect(lambda chosen: self._update(authcfg=chosen))
        elif self._shown_key != authcfg:
            self.key.blockSignals(True)  # of a configuration that does not exist it would tell that there is none
            self.key.setConfigId(authcfg)
            self.key.blockSignals(False)
        self._shown_key = authcfg

    def _show_consent(self) -> None:
        is_given = self._model.has_consent
        self.consent.setText(
            tr("Pictures may be sent to this address.")
            if is_given
            else tr("Nothing is sent before you agree; you are asked when you run.")
        )
        self.take_back.setVisible(is_given)


def _page() -> tuple[QWidget, QFormLayout]:
    page = QWidget()
    form = QFormLayout(page)
    form.setContentsMargins(0, 0, 0, 0)
    form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
    return page, form


def _add(form: QFormLayout, text: str, field: QWidget) -> None:
    label = QLabel(text)
    label.setBuddy(field)
    label.setToolTip(field.toolTip())
    form.addRow(label, field)


def _line(name: str, placeholder: str, tooltip: str) -> QLineEdit:
    line = QLineEdit()
    line.setObjectName(name)
    line.setPlaceholderText(placeholder)
    line.setToolTip(tooltip)
    return line


def _folder(name: str, tooltip: str) -> QgsFileWidget:
    widget = QgsFileWidget()
    widget.setObjectName(name)
    widget.setStorageMode(QgsFileWidget.StorageMode.GetDirectory)
    widget.setToolTip(tooltip)
    return widget
