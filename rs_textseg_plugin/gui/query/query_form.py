"""The groups of the dock in which the user says what to look for, where and how."""

from __future__ import annotations

from qgis.core import QgsMapLayer
from qgis.gui import QgsCollapsibleGroupBox, QgsDoubleSpinBox, QgsMapLayerComboBox
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import (
    QComboBox,
    QFormLayout,
    QGroupBox,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from rs_textseg_plugin.contract.recipe import DEVICES, PIPELINES, PipelineInfo
from rs_textseg_plugin.gui.parts.problem_label import ProblemLabel
from rs_textseg_plugin.gui.parts.qt import RASTER_LAYERS
from rs_textseg_plugin.gui.query.model_picker import ModelPicker
from rs_textseg_plugin.gui.query.parameter_form import ParameterForm
from rs_textseg_plugin.gui.query.question_field import QuestionField
from rs_textseg_plugin.gui.query.raster_choice import RasterChoice
from rs_textseg_plugin.gui.state.query_model import QueryModel
from rs_textseg_plugin.gui.state.query_state import DRAWN_AREA, MAP_CANVAS, WHOLE_LAYER
from rs_textseg_plugin.gui.state.vlm_choice import OWN_FIELDS
from rs_textseg_plugin.gui.vlm.vlm_form import VlmForm
from rs_textseg_plugin.host.translate import tr

_DEVICE_TITLES = {"auto": "Automatic", "cpu": "CPU", "cuda": "CUDA (NVIDIA GPU)", "mps": "MPS (Apple GPU)"}
_EXTENTS = {WHOLE_LAYER: "Whole layer", MAP_CANVAS: "Map canvas", DRAWN_AREA: "Drawn rectangle"}


class QueryForm(QWidget):
    """Everything that is chosen before a run, bound to the model in both directions."""

    def __init__(self, model: QueryModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self._make_widgets()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for group in (self._raster_group(), self.question, self._method_group(), self.vlm, self._advanced_group()):
            layout.addWidget(group)
        self._connect()
        self._show()

    def choose_layer(self, layer: QgsMapLayer | None) -> None:
        """Choose a raster layer; another kind of layer changes nothing."""
        if layer is not None and layer in [self.layer.layer(i) for i in range(self.layer.count())]:
            self.layer.setLayer(layer)

    def _make_widgets(self) -> None:
        self.layer = QgsMapLayerComboBox(self)
        self.layer.setObjectName("layer")
        self.layer.setFilters(RASTER_LAYERS)
        self.extent = _combo("extent", _EXTENTS)
        self.question = QuestionField(self._model, self)
        self.text = self.question.text
        self.method = _combo("method", {info.name: info.title for info in PIPELINES.values()})
        self.models = ModelPicker(self)
        self.preset = _combo("preset", {})
        self.vlm = VlmForm(self._model, self)
        self.resolution = _resolution_box()
        self.device = _combo("device", {name: _DEVICE_TITLES[name] for name in DEVICES})
        self.rasters = RasterChoice(self)
        self.parameters = ParameterForm(self)
        self._shown_method = ""
        names = ("layerProblem", "extentProblem", "modelsProblem", "parametersProblem")
        problems = map(ProblemLabel, names)
        self.layer_problem, self.extent_problem, self.models_problem, self.parameters_problem = problems

    def _raster_group(self) -> QGroupBox:
        group, form = _group("rasterGroup", tr("Raster"))
        _add_row(form, tr("Layer"), self.layer, tr("The raster layer that is segmented"), self.layer_problem)
        tooltip = tr("The whole layer, the part that the map canvas shows, or a rectangle that you draw on it")
        _add_row(form, tr("Extent"), self.extent, tooltip, self.extent_problem)
        return group

    def _method_group(self) -> QGroupBox:
        group, form = _group("methodGroup", tr("Method"))
        _add_row(form, tr("Method"), self.method, "")
        label = _add_row(form, tr("Models"), self.models, self.models.combo.toolTip(), self.models_problem)
        label.setBuddy(self.models.combo)
        self.preset_label = _add_row(form, tr("Preset"), self.preset, tr("Parameters that belong together"))
        return group

    def _advanced_group(self) -> QGroupBox:
        group = QgsCollapsibleGroupBox(tr("Advanced"), self)
        group.setObjectName("advancedGroup")
        group.setSaveCollapsedState(False)
        group.setCollapsed(True)
        form = QFormLayout()
        form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
        _add_row(form, tr("Ground resolution"), self.resolution, tr("Size of a pixel on the ground that models see"))
        _add_row(
            form, tr("Device"), self.device, tr("What the models run on; automatic takes a GPU where there is one")
        )
        _add_row(form, tr("Also write"), self.rasters, "")
        layout = QVBoxLayout(group)
        layout.addLayout(form)
        layout.addWidget(self.parameters_problem)
        layout.addWidget(self.parameters)
        return group

    def _connect(self) -> None:
        update = self._model.update
        self.layer.layerChanged.connect(lambda layer: update(layer_id=layer.id() if layer else ""))
        self.extent.currentIndexChanged.connect(lambda _: update(extent_choice=self.extent.currentData()))
        self.extent.activated.connect(self._extent_picked)  # also when the same entry is picked again
        self.method.currentIndexChanged.connect(lambda _: update(pipeline=self.method.currentData()))
        self.models.picked.connect(lambda models: update(models=models))
        self.models.looked_at.connect(self._model.refresh)
        self.preset.activated.connect(lambda _: update(preset=self.preset.currentData(), parameters={}))
        self.resolution.valueChanged.connect(lambda value: update(ground_resolution_m=value or None))
        self.device.currentIndexChanged.connect(lambda _: update(device=self.device.currentData()))
        self.rasters.changed.connect(lambda: update(rasters=self.rasters.names()))
        self.parameters.changed.connect(lambda: update(parameters=self.parameters.values()))
        self._model.changed.connect(self._show)
        layer = self.layer.currentLayer()
        update(layer_id=layer.id() if layer else "")

    def _extent_picked(self) -> None:
        if self.extent.currentData() == DRAWN_AREA:
            self._model.draw_area()

    def _show(self) -> None:
        """Let every widget show the model; a widget that already does is not touched."""
        state = self._model.state
        _choose(self.extent, state.extent_choice)
        _choose(self.device, state.device)
        self.rasters.show_names(state.rasters)
        self._show_method()
        self.models.show_models(self._model.sets, state.models)
        self.question.show_question()
        self.vlm.setVisible(self._model.pipeline.asks_model)
        self.vlm.show_choice()
        self._show_problems()
        self.setEnabled(not self._model.run.is_running)

    def _show_method(self) -> None:
        info = self._model.pipeline
        _choose(self.method, info.name)
        if self._shown_method != info.name:  # whoever changed it, the user in the combo box or the model
            self._shown_method = info.name
            self.method.setToolTip(f"<p>{tr(info.summary)}</p><p>{info.source}</p>")
            self._list_presets(info)
            hidden = OWN_FIELDS if info.asks_model else ()
            self.parameters.show_parameters(tuple(p for p in info.parameters if p.name not in hidden))
        _choose(self.preset, self._model.state.preset)
        self.parameters.show_values(self._model.state.parameters, self._model.base_values)

    def _list_presets(self, info: PipelineInfo) -> None:
        self.preset.clear()
        self.preset.addItem(tr("None"), "")
        for row, (name, preset) in enumerate(info.presets.items(), start=1):
            self.preset.addItem(name, name)
            self.preset.setItemData(row, preset.about, Qt.ItemDataRole.ToolTipRole)
        for widget in (self.preset, self.preset_label):
            widget.setVisible(bool(info.presets))

    def _show_problems(self) -> None:
        problems = self._model.problems
        self.layer_problem.show_problem(tr(problems.layer))
        self.extent_problem.show_problem(problems.extent)
        self.models_problem.show_problem(problems.models)
        self.parameters_problem.show_problem(problems.parameters)


def _group(name: str, title: str) -> tuple[QGroupBox, QFormLayout]:
    group = QGroupBox(title)
    group.setObjectName(name)
    return group, QFormLayout(group)


def _add_row(form: QFormLayout, text: str, field: QWidget, tooltip: str, problem: ProblemLabel | None = None) -> QLabel:
    label = QLabel(text)
    label.setBuddy(field)
    label.setToolTip(tooltip)
    if tooltip:
        field.setToolTip(tooltip)
    column = QVBoxLayout()  # a row of its own for the problem would leave a gap while there is none
    column.addWidget(field)
    if problem is not None:
        column.addWidget(problem)
    form.addRow(label, column)
    return label


def _combo(name: str, items: dict[str, str]) -> QComboBox:
    combo = QComboBox()
    combo.setObjectName(name)
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(8)
    for value, text in items.items():
        combo.addItem(tr(text), value)
    return combo


def _choose(combo: QComboBox, value: str) -> None:
    if combo.currentData() != value:
        combo.setCurrentIndex(max(0, combo.findData(value)))


def _resolution_box() -> QgsDoubleSpinBox:
    box = QgsDoubleSpinBox()
    box.setObjectName("resolution")
    box.setRange(0.0, 1000.0)
    box.setDecimals(3)
    box.setSingleStep(0.1)
    box.setSuffix(" m")
    box.setSpecialValueText(tr("As the raster"))
    box.setClearValueMode(QgsDoubleSpinBox.ClearValueMode.MinimumValue, tr("As the raster"))
    return box
