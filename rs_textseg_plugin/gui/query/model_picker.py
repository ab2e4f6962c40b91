"""The choice of models: a list of sets, into which a folder can be typed, and a button that finds one."""

from __future__ import annotations

from qgis.PyQt.QtCore import Qt, pyqtSignal
from qgis.PyQt.QtGui import QBrush, QPalette, QShowEvent
from qgis.PyQt.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QToolButton, QWidget

from rs_textseg_plugin.gui.state.model_choices import ModelChoice, model_choices
from rs_textseg_plugin.host.translate import tr


class ModelPicker(QWidget):
    """Shows and changes the id of a model set, or a folder.

    Signals:
        picked: the id or folder, as soon as it is another one.
    """

    picked = pyqtSignal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._choices: list[ModelChoice] = []
        self._pipeline = ""
        self.combo = self._make_combo()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.combo, 1)
        layout.addWidget(self._make_button())
        self.setFocusProxy(self.combo)

    def show_models(self, pipeline: str, models: str) -> None:
        """List the sets of a pipeline and show which one is chosen."""
        if pipeline != self._pipeline:
            self._pipeline = pipeline
            self._list_choices()
        if models != self._models_of(self.combo.currentText()):
            self._show_label(models)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802 (Qt's name)
        """Look again which sets are here: they may have been fetched in the meantime."""
        super().showEvent(event)
        if self._pipeline:
            self._list_choices()

    def _make_combo(self) -> QComboBox:
        combo = QComboBox(self)
        combo.setObjectName("models")
        combo.setEditable(True)
        combo.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        combo.setToolTip(
            tr("A model set, or a folder with checkpoints. Sets that are not downloaded are fetched once.")
        )
        combo.activated.connect(lambda _: combo.lineEdit().setCursorPosition(0))
        combo.editTextChanged.connect(lambda text: self.picked.emit(self._models_of(text)))
        return combo

    def _make_button(self) -> QToolButton:
        button = QToolButton(self)
        button.setObjectName("modelsFolder")
        button.setText("…")
        button.setToolTip(tr("Choose a folder with checkpoints"))
        button.setAccessibleName(button.toolTip())
        button.clicked.connect(self._ask_for_folder)
        return button

    def _list_choices(self) -> None:
        models = self._models_of(self.combo.currentText())
        self._choices = model_choices(self._pipeline)
        self.combo.blockSignals(True)
        self.combo.clear()
        grey = QBrush(self.palette().color(QPalette.ColorGroup.Disabled, QPalette.ColorRole.Text))
        for row, choice in enumerate(self._choices):
            self.combo.addItem(choice.label)
            if not choice.is_here:
                self.combo.setItemData(row, grey, Qt.ItemDataRole.ForegroundRole)
        self._show_label(models)
        self.combo.blockSignals(False)

    def _models_of(self, label: str) -> str:
        return next((choice.id for choice in self._choices if choice.label == label), label.strip())

    def _label_of(self, models: str) -> str:
        return next((choice.label for choice in self._choices if choice.id == models), models)

    def _show_label(self, models: str) -> None:
        self.combo.setEditText(self._label_of(models))
        self.combo.lineEdit().setCursorPosition(0)  # a long title is read from its beginning

    def _ask_for_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, tr("Folder with Checkpoints"))
        if folder:
            self._show_label(folder)
