"""The dock's state and its decisions. Widgets show it and change it; they decide nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Callable

from qgis.core import QgsCoordinateReferenceSystem, QgsMapLayer, QgsProject, QgsRectangle
from qgis.PyQt.QtCore import QObject, pyqtSignal

from rs_textseg_plugin.contract.errors import QueryError, RecipeError, TextSegError
from rs_textseg_plugin.contract.events import Failed, Finished, Found, Progress
from rs_textseg_plugin.contract.query import Query, parse_class_list
from rs_textseg_plugin.contract.recipe import PIPELINES, ParameterValue, PipelineInfo, Recipe, find_preset
from rs_textseg_plugin.contract.request import Output, Request
from rs_textseg_plugin.contract.server.server_address import is_this_machine, parse_address
from rs_textseg_plugin.contract.text.phrase import parse_phrase_for
from rs_textseg_plugin.gui.parts.words import reading_in_words
from rs_textseg_plugin.gui.state.base_values import base_values
from rs_textseg_plugin.gui.state.draw_again import DrawAgain
from rs_textseg_plugin.gui.state.model_choices import why_not_usable
from rs_textseg_plugin.gui.state.query_state import (
    DRAWN_AREA,
    MAP_CANVAS,
    PHRASE,
    Problems,
    RunState,
    Sending,
    remember_state,
    remembered_state,
)
from rs_textseg_plugin.gui.state.vlm_choice import ENDPOINT, asks_a_model
from rs_textseg_plugin.host.layers.click_layers import ClickLayers
from rs_textseg_plugin.host.layers.scene_from_layer import layer_support, scene_from_layer
from rs_textseg_plugin.host.layers.views import count_views
from rs_textseg_plugin.host.output_paths import clicks_path_beside, default_output_path, make_folder_for, paths_beside
from rs_textseg_plugin.host.server.consent import consent, has_consented, take_back
from rs_textseg_plugin.host.server.endpoint_key import sends_pictures

_NO_AREA = "Draw a rectangle on the map."

CanvasView = Callable[[], "tuple[QgsRectangle, QgsCoordinateReferenceSystem]"]


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
        consent_wanted: `Sending`; the user has to be asked before anything is sent.
        area_wanted: the user is to draw a rectangle on the map canvas.
    """

    changed = pyqtSignal()
    submitted = pyqtSignal(object)
    cancel_wanted = pyqtSignal()
    refused = pyqtSignal(str)
    consent_wanted = pyqtSignal(object)
    area_wanted = pyqtSignal()

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
        self._answer = DrawAgain(project, now)
        self._area: tuple[QgsRectangle, QgsCoordinateReferenceSystem] | None = None
        project.layersRemoved.connect(self._look_again)

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
            extent=_NO_AREA if self.state.extent_choice == DRAWN_AREA and self._area is None else "",
            text=self._text_problem() if self.state.question.strip() else "",
            models=why_not_usable(self.state.models),
            parameters=self._parameter_problem(),
            vlm=self.state.vlm.problem(self.state.models) if self.asks_a_model else "",
        )

    @property
    def base_values(self) -> dict[str, ParameterValue]:
        """Every parameter as it is while the user sets none."""
        return base_values(self.state.pipeline, self.state.models, self.state.preset)

    @property
    def reading(self) -> str:
        """How the typed phrase is understood; empty for a class list, and where a model reads the phrase."""
        is_read = self.state.kind == PHRASE and self.pipeline.answers_phrases
        return reading_in_words(self.state.phrase) if is_read and self.state.phrase.strip() else ""

    @property
    def area(self) -> tuple[QgsRectangle, QgsCoordinateReferenceSystem] | None:
        """The drawn rectangle and its CRS, while it is the extent."""
        return self._area if self.state.extent_choice == DRAWN_AREA else None

    @property
    def asks_a_model(self) -> bool:
        """Whether the method asks a vision-language model."""
        return asks_a_model(self.pipeline)

    @property
    def has_consent(self) -> bool:
        """Whether pictures may be sent to the address that is chosen."""
        try:
            return self.state.vlm.place == ENDPOINT and has_consented(self.state.vlm.base_url)
        except RecipeError:
            return False

    @property
    def can_draw_again(self) -> bool:
        """Whether `draw_again` would do something."""
        return not self.run.is_running and self._answer.is_possible

    @property
    def can_run(self) -> bool:
        """Whether `submit` would do something."""
        return not self.run.is_running and bool(self.state.question.strip()) and self.problems == Problems()

    @property
    def can_cancel(self) -> bool:
        """Whether `cancel` would do something."""
        return self.run.is_running and not self.run.is_stopping

    def update(self, **choices: Any) -> None:
        """Take over what the user chose: keyword arguments are fields of `QueryState`.

        Another pipeline starts without a preset and parameters, unless they come with it.
        """
        if choices.get("pipeline", self.state.pipeline) != self.state.pipeline:
            choices = {"preset": "", "parameters": {}, **choices}
        state = dataclasses.replace(self.state, **choices)
        if state != self.state:
            self.state = state
            self.changed.emit()

    def draw_area(self) -> None:
        """Let the user draw the rectangle that is looked at."""
        self.update(extent_choice=DRAWN_AREA)
        self.area_wanted.emit()

    def take_area(self, rectangle: QgsRectangle, crs: QgsCoordinateReferenceSystem) -> None:
        """Look at a rectangle that was drawn."""
        self._area = (rectangle, crs)
        self.state = dataclasses.replace(self.state, extent_choice=DRAWN_AREA)
        self.changed.emit()

    def submit(self) -> None:
        """Ask for a run, where one is possible; before pictures are sent somewhere, ask for the user's consent."""
        if not self.can_run:
            return
        try:
            request = self.build_request()
            if sends_pictures(request) and not request.consent_to_send:
                self.consent_wanted.emit(self._sending(request))
                return
            make_folder_for(Path(request.output.path))
        except TextSegError as error:
            self.refused.emit(str(error))
            return
        remember_state(self.state)
        self.submitted.emit(request)

    def consent(self) -> None:
        """The user agreed to send pictures to the address that is chosen: remember that, and run."""
        consent(self.state.vlm.base_url)
        self.changed.emit()
        self.submit()

    def take_consent_back(self) -> None:
        """The user no longer agrees."""
        take_back(self.state.vlm.base_url)
        self.changed.emit()

    def draw_again(self) -> None:
        """Ask for a run that draws the answer's boxes and points as the user left them."""
        if not self.can_draw_again:
            return
        try:
            request = self._answer.build_request()
        except TextSegError as error:
            self.refused.emit(str(error))
            return
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
        extent, extent_crs = self._extent()
        scene = scene_from_layer(
            self.layer,
            self._project.transformContext(),
            extent,
            extent_crs,
            ground_resolution_m=self.state.ground_resolution_m,
        )
        path = default_output_path(self._project, self.state.question, self._now())
        clicks = clicks_path_beside(path) if self.asks_a_model else ""
        output = Output(str(path), clicks=clicks, **paths_beside(path, self.state.wanted_rasters))
        recipe = self._recipe()
        agreed = str(recipe.parameters.get("base_url", "")) if self.has_consent else ""
        return Request(scene, self._parse_text(), recipe, output, agreed)

    def _extent(self) -> tuple[QgsRectangle | None, QgsCoordinateReferenceSystem | None]:
        if self.state.extent_choice == MAP_CANVAS:
            return self._canvas_view()
        return self.area or (None, None)

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

    def take_answer(self, request: Request, layers: ClickLayers, answers: Sequence[str]) -> None:
        """A run has ended with the answer of a vision-language model, which lies in layers now."""
        self._answer.remember(request, layers)
        self._set_run(answers=tuple(answers))

    def _look_again(self) -> None:
        self.changed.emit()

    def _sending(self, request: Request) -> Sending:
        parameters = {**self.base_values, **self.state.parameters}
        address = parse_address(self.state.vlm.base_url).base_url
        return Sending(address, is_this_machine(address), count_views(self.layer, request.scene, parameters))

    def _set_run(self, **changes: Any) -> None:
        self.run = dataclasses.replace(self.run, **changes)
        self.changed.emit()

    def _recipe(self) -> Recipe:
        state = self.state
        parameters = {**find_preset(state.preset, state.pipeline), **state.parameters}
        if self.asks_a_model:
            parameters = {**parameters, **state.vlm.parameters}
        return Recipe(state.pipeline, state.models, parameters, state.device)

    def _parse_text(self) -> Query:
        if self.state.kind == PHRASE:
            return parse_phrase_for(self.pipeline, self.state.phrase)
        return parse_class_list(self.state.text)

    def _text_problem(self) -> str:
        try:
            self._parse_text()
        except QueryError as error:
            return str(error)
        return ""

    def _parameter_problem(self) -> str:
        try:
            own = {**find_preset(self.state.preset, self.state.pipeline), **self.state.parameters}
            Recipe(self.state.pipeline, parameters=own).checked_parameters()
        except RecipeError as error:
            return str(error)
        return ""
