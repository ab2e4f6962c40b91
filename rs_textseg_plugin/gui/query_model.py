"""The dock's state and its decisions. Widgets show it and change it; they decide nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Callable, Optional

from qgis.core import QgsCoordinateReferenceSystem, QgsMapLayer, QgsProject, QgsRectangle
from qgis.PyQt.QtCore import QObject, pyqtSignal

from rs_textseg_plugin.contract.errors import QueryError, RecipeError, TextSegError
from rs_textseg_plugin.contract.events import Failed, Finished, Found, Progress
from rs_textseg_plugin.contract.query import Query, parse_class_list, parse_phrase
from rs_textseg_plugin.contract.recipe import PIPELINES, ParameterValue, PipelineInfo, Recipe
from rs_textseg_plugin.contract.request import Output, Request
from rs_textseg_plugin.gui.model_choices import why_not_usable
from rs_textseg_plugin.host import settings
from rs_textseg_plugin.host.output_paths import default_output_path, make_folder_for
from rs_textseg_plugin.host.scene_from_layer import layer_support, scene_from_layer

WHOLE_LAYER = "layer"
MAP_CANVAS = "canvas"

CanvasView = Callable[[], "tuple[QgsRectangle, QgsCoordinateReferenceSystem]"]


@dataclass(frozen=True)
class QueryState:
    """What the user has chosen.

    Attributes:
        layer_id: id of a layer of the project; empty: none.
        text: the class list or phrase as typed.
        pipeline: a name in `PIPELINES`.
        models: id of a set, or a folder.
        extent_choice: `WHOLE_LAYER` or `MAP_CANVAS`.
        parameters: recipe values that differ from the defaults.
        ground_resolution_m: size of a working pixel; None: the raster's own.
        device: ``auto``, ``cpu`` or ``cuda``.
    """

    layer_id: str = ""
    text: str = ""
    pipeline: str = Recipe().pipeline
    models: str = Recipe().models
    extent_choice: str = WHOLE_LAYER
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    ground_resolution_m: Optional[float] = None
    device: str = Recipe().device


@dataclass(frozen=True)
class RunState:
    """What the engine is doing, or how it ended last; `failed` is None where the user stopped it."""

    is_running: bool = False
    is_stopping: bool = False
    progress: Optional[Progress] = None
    counts: Mapping[str, int] = field(default_factory=dict)
    finished: Optional[Finished] = None
    failed: Optional[Failed] = None


@dataclass(frozen=True)
class Problems:
    """Why nothing can run, in one sentence for each field; empty where nothing speaks against it."""

    layer: str = ""
    text: str = ""
    models: str = ""
    parameters: str = ""


class QueryModel(QObject):
    """State that can be observed.

    Args:
        project: where the layers are.
        canvas_view: returns what the map canvas shows, and in which CRS.
        now: returns the time, for the names of results.

    Signals:
        changed: the user's choices or the run's state are others than before.
        submitted: `Request`; the user wants it to run.
        cancel_wanted: the user wants the run to stop.
        refused: a sentence; what the user chose cannot be run.
    """

    changed = pyqtSignal()
    submitted = pyqtSignal(object)
    cancel_wanted = pyqtSignal()
    refused = pyqtSignal(str)

    def __init__(
        self,
        project: QgsProject,
        canvas_view: CanvasView,
        now: Callable[[], datetime] = datetime.now,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._project, self._canvas_view, self._now = project, canvas_view, now
        self.state = remembered_state()
        self.run = RunState()

    @property
    def pipeline(self) -> PipelineInfo:
        """The chosen method."""
        return PIPELINES[self.state.pipeline]

    @property
    def layer(self) -> QgsMapLayer | None:
        """The chosen layer; None where there is none, or no longer."""
        return self._project.mapLayer(self.state.layer_id)

    @property
    def problems(self) -> Problems:
        """What speaks against a run. An empty text is no problem, there is just nothing to do yet."""
        return Problems(
            layer=layer_support(self.layer).value,
            text=self._text_problem() if self.state.text.strip() else "",
            models=why_not_usable(self.state.models),
            parameters=self._parameter_problem(),
        )

    @property
    def can_run(self) -> bool:
        """Whether `submit` would do something."""
        return not self.run.is_running and bool(self.state.text.strip()) and self.problems == Problems()

    @property
    def can_cancel(self) -> bool:
        """Whether `cancel` would do something."""
        return self.run.is_running and not self.run.is_stopping

    def update(self, **choices: Any) -> None:
        """Take over what the user chose: keyword arguments are fields of `QueryState`."""
        state = dataclasses.replace(self.state, **choices)
        if state.pipeline != self.state.pipeline:
            state = dataclasses.replace(state, parameters={})
        if state != self.state:
            self.state = state
            self.changed.emit()

    def submit(self) -> None:
        """Ask for a run, where one is possible."""
        if not self.can_run:
            return
        try:
            request = self.build_request()
            make_folder_for(Path(request.output.path))
        except TextSegError as error:
            self.refused.emit(str(error))
            return
        remember_state(self.state)
        self.submitted.emit(request)

    def cancel(self) -> None:
        """Ask for the end of the run, where there is one."""
        if self.can_cancel:
            self._set_run(is_stopping=True)
            self.cancel_wanted.emit()

    def build_request(self) -> Request:
        """Return the order to the engine.

        Raises:
            TextSegError: something speaks against it.
        """
        extent, extent_crs = self._canvas_view() if self.state.extent_choice == MAP_CANVAS else (None, None)
        scene = scene_from_layer(
            self.layer,
            self._project.transformContext(),
            extent,
            extent_crs,
            ground_resolution_m=self.state.ground_resolution_m,
        )
        path = default_output_path(self._project, self.state.text, self._now())
        return Request(scene, self._parse_text(), self._recipe(), Output(str(path)))

    def take_start(self) -> None:
        """A run has begun."""
        self.run = RunState(is_running=True)
        self.changed.emit()

    def take_progress(self, progress: Progress) -> None:
        """The run has come further."""
        self._set_run(progress=progress)

    def take_found(self, found: Found) -> None:
        """The run has found something."""
        self._set_run(counts=found.counts)

    def take_finished(self, finished: Finished) -> None:
        """The run has ended with a result."""
        self.run = RunState(finished=finished)
        self.changed.emit()

    def take_failed(self, failed: Failed) -> None:
        """The run has ended without one."""
        self.run = RunState(failed=None if failed.kind == "Cancelled" else failed)
        self.changed.emit()

    def _set_run(self, **changes: Any) -> None:
        self.run = dataclasses.replace(self.run, **changes)
        self.changed.emit()

    def _recipe(self) -> Recipe:
        state = self.state
        return Recipe(state.pipeline, state.models, dict(state.parameters), state.device)

    def _parse_text(self) -> Query:
        parse = parse_phrase if self.pipeline.takes == "phrase" else parse_class_list
        return parse(self.state.text)

    def _text_problem(self) -> str:
        try:
            self._parse_text()
        except QueryError as error:
            return str(error)
        return ""

    def _parameter_problem(self) -> str:
        try:
            self._recipe().checked_parameters()
        except RecipeError as error:
            return str(error)
        return ""


def remembered_state() -> QueryState:
    """Return the choices of the last session, as far as they are still possible."""
    pipeline, extent_choice = settings.LAST_PIPELINE.read(), settings.LAST_EXTENT_CHOICE.read()
    return QueryState(
        text=settings.LAST_TEXT.read(),
        pipeline=pipeline if pipeline in PIPELINES else Recipe().pipeline,
        models=settings.LAST_MODELS.read(),
        extent_choice=extent_choice if extent_choice in (WHOLE_LAYER, MAP_CANVAS) else WHOLE_LAYER,
        device=settings.LAST_DEVICE.read(),
    )


def remember_state(state: QueryState) -> None:
    """Keep the choices for the next session."""
    settings.LAST_TEXT.write(state.text)
    settings.LAST_PIPELINE.write(state.pipeline)
    settings.LAST_MODELS.write(state.models)
    settings.LAST_EXTENT_CHOICE.write(state.extent_choice)
    settings.LAST_DEVICE.write(state.device)
