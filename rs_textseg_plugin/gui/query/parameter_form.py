"""Widgets for the parameters of a pipeline, made from its table."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any, Union

from qgis.gui import QgsDoubleSpinBox, QgsSpinBox
from qgis.PyQt.QtCore import pyqtSignal
from qgis.PyQt.QtWidgets import QCheckBox, QComboBox, QFormLayout, QLabel, QLineEdit, QWidget

from rs_textseg_plugin.contract.recipe import Parameter, ParameterValue
from rs_textseg_plugin.gui.parts.words import parameter_label
from rs_textseg_plugin.host.translate import tr

_INT_BOUNDS = (0, 1_000_000)
_FLOAT_BOUNDS = (0.0, 1_000_000.0)
_AUTO = "auto"
_BELOW_MINIMUM = 1.0  # a spin box has no "auto": its lowest value stands for it

Editor = Union[QgsSpinBox, QgsDoubleSpinBox, QComboBox, QCheckBox, QLineEdit]


class ParameterForm(QWidget):
    """One row for each parameter; the tooltip says what it does and where its default comes from.

    Signals:
        changed: a value was edited.
    """

    changed = pyqtSignal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._layout = QFormLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
        self._parameters: tuple[Parameter, ...] = ()
        self._base: Mapping[str, ParameterValue] = {}
        self._editors: dict[str, Editor] = {}

    def show_parameters(self, parameters: tuple[Parameter, ...]) -> None:
        """Make a row for each parameter, at its default, in place of the rows of before."""
        while self._layout.rowCount():
            self._layout.removeRow(0)
        self._parameters = parameters
        self._base = {parameter.name: parameter.default for parameter in parameters}
        self._editors = {parameter.name: self._add_row(parameter) for parameter in parameters}

    def values(self) -> dict[str, ParameterValue]:
        """Return the values that differ from the base."""
        read = {parameter.name: read_editor(self._editors[parameter.name], parameter) for parameter in self._parameters}
        return {name: value for name, value in read.items() if value != self._base[name]}

    def show_values(
        self, values: Mapping[str, ParameterValue], base: Mapping[str, ParameterValue] | None = None
    ) -> None:
        """Set the editors, without telling of it.

        Args:
            values: what differs from the base.
            base: all other parameters, from now on; None: as before, at first the defaults.
        """
        self._base = {**self._base, **(base or {})}
        self.blockSignals(True)
        for parameter in self._parameters:
            _offer_base(self._editors[parameter.name], parameter, self._base[parameter.name])
            value = values.get(parameter.name, self._base[parameter.name])
            if read_editor(self._editors[parameter.name], parameter) != value:
                write_editor(self._editors[parameter.name], parameter, value)
        self.blockSignals(False)

    def _add_row(self, parameter: Parameter) -> Editor:
        editor, edited = make_editor(parameter)
        editor.setObjectName(f"parameter_{parameter.name}")
        editor.setToolTip(tooltip(parameter))
        label = QLabel(parameter_label(parameter), self)
        label.setToolTip(editor.toolTip())
        label.setBuddy(editor)
        self._layout.addRow(label, editor)
        edited.connect(lambda *_: self.changed.emit())
        return editor


def tooltip(parameter: Parameter) -> str:
    """Return rich text that wraps: the help of a parameter, its default, and the source of the default."""
    default = tr("auto") if parameter.default is None else parameter.default
    source = tr("Default: {} ({})").format(default, parameter.source)
    return f"<p>{html.escape(parameter.help)}</p><p>{html.escape(source)}</p><p><tt>{parameter.name}</tt></p>"


def make_editor(parameter: Parameter) -> tuple[Editor, Any]:
    """Return a widget for a parameter at its default, and the signal that tells of an edit."""
    if parameter.choices:
        combo = QComboBox()
        combo.addItems([_AUTO] * (parameter.default is None) + list(parameter.choices))
        editor, edited = combo, combo.currentIndexChanged
    elif parameter.kind == "bool":
        editor = QCheckBox()
        edited = editor.toggled
    elif parameter.kind == "int":
        editor = _int_box(parameter)
        edited = editor.valueChanged
    elif parameter.kind == "float":
        editor = _float_box(parameter)
        edited = editor.valueChanged
    else:
        editor = QLineEdit()
        edited = editor.textEdited
    write_editor(editor, parameter, parameter.default)
    return editor, edited


def read_editor(editor: Editor, parameter: Parameter) -> ParameterValue:
    """Return the value that a widget shows, in the parameter's type; None for "auto"."""
    if isinstance(editor, QCheckBox):
        return bool(editor.isChecked())
    if isinstance(editor, (QComboBox, QLineEdit)):
        text = str(editor.currentText() if isinstance(editor, QComboBox) else editor.text())
        return None if parameter.default is None and text in ("", _AUTO) else text
    if parameter.default is None and editor.value() == editor.minimum():
        return None
    return int(editor.value()) if parameter.kind == "int" else float(editor.value())


def write_editor(editor: Editor, parameter: Parameter, value: ParameterValue) -> None:
    """Show a value of the parameter's type; None is "auto"."""
    if isinstance(editor, QComboBox):
        editor.setCurrentText(_AUTO if value is None else str(value))
    elif isinstance(editor, QCheckBox):
        editor.setChecked(bool(value))
    elif isinstance(editor, QLineEdit):
        editor.setText("" if value is None else str(value))
    else:
        editor.setValue(editor.minimum() if value is None else value)


def _int_box(parameter: Parameter) -> QgsSpinBox:
    box = QgsSpinBox()
    low, high = _bounds(parameter, _INT_BOUNDS)
    box.setRange(int(low), int(high))
    _offer_default(box, parameter)
    return box


def _float_box(parameter: Parameter) -> QgsDoubleSpinBox:
    box = QgsDoubleSpinBox()
    low, high = _bounds(parameter, _FLOAT_BOUNDS)
    is_share = high <= 2
    box.setDecimals(3 if is_share else 2)
    box.setSingleStep(0.05 if is_share else 1.0)
    box.setRange(low, high)
    _offer_default(box, parameter)
    return box


def _bounds(parameter: Parameter, usual: tuple[float, float]) -> tuple[float, float]:
    low = usual[0] if parameter.minimum is None else parameter.minimum
    high = usual[1] if parameter.maximum is None else parameter.maximum
    return (low - _BELOW_MINIMUM if parameter.default is None else low), high


def _offer_default(box: QgsSpinBox | QgsDoubleSpinBox, parameter: Parameter) -> None:
    """Let the box's clear button go back to the default."""
    if parameter.default is None:
        box.setSpecialValueText(tr("Auto"))
        box.setClearValueMode(type(box).ClearValueMode.MinimumValue, tr("Auto"))
    else:
        box.setClearValue(parameter.default)


def _offer_base(editor: Editor, parameter: Parameter, base: ParameterValue) -> None:
    """Let the clear button of a spin box go back to what the parameter is while the user sets none."""
    if isinstance(editor, (QgsSpinBox, QgsDoubleSpinBox)) and parameter.default is not None:
        editor.setClearValue(base)
