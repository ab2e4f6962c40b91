"""The choice of models: a list of sets, into which a folder can be typed, and a button that finds one."""

from __future__ import annotations

from collections.abc import Sequence

from qgis.PyQt.QtCore import QEvent, Qt, pyqtSignal
from qgis.PyQt.QtGui import QBrush, QPalette, QShowEvent
from qgis.PyQt.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QToolButton, QWidget

from rs_textseg_plugin.gui.state.model_sets import OfferedSet
from rs_textseg_plugin.host.translate import tr


class _OpenedCombo(QComboBox):
    """Tells that its list is about to be shown."""

    opened = pyqtSignal()

    def showPopup(self) -> None:  # noqa: N802 (Qt's name)
        """Open the list."""
        self.opened.emit()
        super().showPopup()


class ModelPicker(QWidget):
    """Shows and changes the id of a model set, or a folder.

    Signals:
        picked: the id or folder, as soon as it is another one.
        looked_at: the user sees the picker again or opens its list, and sets may have come or gone meanwhile.
    """

    picked = pyqtSignal(str)
    looked_at = pyqtSignal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._sets: Sequence[OfferedSet] = ()
        self.combo = self._make_combo()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.combo, 1)
        layout.addWidget(self._make_button())
        self.setFocusProxy(self.combo)

    def show_models(self, sets: Sequence[OfferedSet], models: str) -> None:
        """List the sets and show which one is chosen."""
        if sets != self._sets:
            self._list_sets(sets)
        if models != self._models_of(self.combo.currentText()):
            self._show_label(models)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802 (Qt's name)
        """Tell that the picker is seen."""
        super().showEvent(event)
        self.looked_at.emit()

    def event(self, event: QEvent) -> bool:
        """Tell that the user comes back from another window, such as a terminal in which a set was fetched."""
        if event.type() == QEvent.Type.WindowActivate:
            self.looked_at.emit()
        return bool(super().event(event))

    def _make_combo(self) -> QComboBox:
        combo = _OpenedCombo(self)
        combo.opened.connect(self.looked_at)
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

    def _list_sets(self, sets: Sequence[OfferedSet]) -> None:
        models = self._models_of(self.combo.currentText())
        self._sets = sets
        self.combo.blockSignals(True)
        self.combo.clear()
        grey = QBrush(self.palette().color(QPalette.ColorGroup.Disabled, QPalette.ColorRole.Text))
        for row, entry in enumerate(sets):
            self.combo.addItem(entry.label)
            if not entry.is_here:
                self.combo.setItemData(row, grey, Qt.ItemDataRole.ForegroundRole)
        self._show_label(models)
        self.combo.blockSignals(False)

    def _models_of(self, label: str) -> str:
        return next((entry.id for entry in self._sets if entry.label == label), label.strip())

    def _label_of(self, models: str) -> str:
        return next((entry.label for entry in self._sets if entry.id == models), models)

    def _show_label(self, models: str) -> None:
        self.combo.setEditText(self._label_of(models))
        self.combo.lineEdit().setCursorPosition(0)  # a long title is read from its beginning

    def _ask_for_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, tr("Folder with Checkpoints"))
        if folder:
            self._show_label(folder)
