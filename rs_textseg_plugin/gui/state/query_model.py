"""The dock's state and its decisions. Widgets show it and change it; they decide nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Callable

from qgis.core import QgsCoordinateReferenceSystem, QgsMapLayer, QgsProject, QgsRectangle
from qgis.PyQt.QtCore import QObject, pyqtSignal

from rs_textseg_plugin.contract.errors import RecipeError, TextSegError
from rs_textseg_plugin.contract.events import Failed, Finished, Found, Progress
from rs_textseg_plugin.contract.recipe import ParameterValue, PipelineInfo, Recipe
from rs_textseg_plugin.contract.request import Output, Request
from rs_textseg_plugin.contract.server.server_address import is_this_machine, parse_address
from rs_textseg_plugin.contract.tables.pipeline_info import PHRASE
from rs_textseg_plugin.gui.parts.words import list_parameters_in_words, reading_in_words
from rs_textseg_plugin.gui.state.base_values import base_values
from rs_textseg_plugin.gui.state.draw_again import DrawAgain
from rs_textseg_plugin.gui.state.model_sets import OfferedSet, sets_for
from rs_textseg_plugin.gui.state.problems import Problems, find_problems
from rs_textseg_plugin.gui.state.query_state import (
    DRAWN_AREA,
    MAP_CANVAS,
    RunState,
    Sending,
    remember_state,
    remembered_state,
)
from rs_textseg_plugin.gui.state.snapshot import Snapshot
from rs_textseg_plugin.host.layers.click_layers import ClickLayers
from rs_textseg_plugin.host.layers.scene_from_layer import scene_from_layer
from rs_textseg_plugin.host.layers.views import count_views
from rs_textseg_plugin.host.output_paths import (
    RASTER_SUFFIXES,
    clicks_path_beside,
    default_output_path,
    make_folder_for,
    paths_beside,
)
from rs_textseg_plugin.host.server.consent import consent, is_among, take_back

CanvasView = Callable[[], "tuple[QgsRectangle, QgsCoordinateReferenceSystem]"]


class QueryModel(QObject):
    """State that can be observed. No property reads the disk or the settings; `refresh` does.

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
        self._snapshot = Snapshot.take(self.state)
        self._problems = self._find_problems()
        project.layersRemoved.connect(self._tell_change)

    @property
    def pipeline(self) -> PipelineInfo:
        """The chosen method."""
        return self.state.info

    @property
    def layer(self) -> QgsMapLayer | None:
        """The chosen layer; None where there is none, or no longer."""
        return self._project.mapLayer(self.state.layer_id)

    @property
    def problems(self) -> Problems:
        """The problems of the choice, a sentence a field; found when the choice changed or `refresh` was called."""
        return self._problems

    @property
    def sets(self) -> tuple[OfferedSet, ...]:
        """The model sets that serve the method."""
        return sets_for(self.state.pipeline, self._snapshot.sets)

    @property
    def base_values(self) -> dict[str, ParameterValue]:
        """Every parameter as it is while the user sets none."""
        state = self.state
        return base_values(state.pipeline, state.preset, self._snapshot.models.parameters, state.list_parameters)

    @property
    def reading(self) -> str:
        """How the typed phrase is understood, or what the class list brings along; empty: there is nothing to say."""
        if self.state.list_parameters:
            return list_parameters_in_words(self.state.preset, self.state.list_parameters)
        is_read = self.state.kind == PHRASE and self.pipeline.answers_phrases
        return reading_in_words(self.state.phrase) if is_read and self.state.phrase.strip() else ""

    @property
    def area(self) -> tuple[QgsRectangle, QgsCoordinateReferenceSystem] | None:
        """The drawn rectangle and its CRS, while it is the extent."""
        return self._area if self.state.extent_choice == DRAWN_AREA else None

    @property
    def has_consent(self) -> bool:
        """Whether pictures may be sent to where the choice would send them."""
        try:
            return bool(self._pictures_go_to) and is_among(self._pictures_go_to, self._snapshot.consents)
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
            self._snapshot = self._snapshot.followed(self.state, state)
            self.state = state
            self._tell_change()

    def refresh(self) -> None:
        """Look again at disk and settings: sets may have been fetched, folders removed, consents given elsewhere."""
        before = (self._snapshot, self._problems)
        self._snapshot = Snapshot.take(self.state)
        self._problems = self._find_problems()
        if (self._snapshot, self._problems) != before:
            self.changed.emit()

    def draw_area(self) -> None:
        """Let the user draw the rectangle that is looked at."""
        self.update(extent_choice=DRAWN_AREA)
        self.area_wanted.emit()

    def take_area(self, rectangle: QgsRectangle, crs: QgsCoordinateReferenceSystem) -> None:
        """Look at a rectangle that was drawn."""
        self._area = (rectangle, crs)
        self.state = dataclasses.replace(self.state, extent_choice=DRAWN_AREA)
        self._tell_change()

    def submit(self) -> None:
        """Ask for a run, where one is possible; before pictures are sent somewhere, ask for the user's consent."""
        self.refresh()
        if not self.can_run:
            return
        try:
            request = self.build_request()
            if request.recipe.pictures_go_to and not request.consent_to_send:
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
        consent(self._pictures_go_to)
        self.submit()

    def take_consent_back(self) -> None:
        """The user no longer agrees."""
        take_back(self._pictures_go_to)
        self.refresh()

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
        scene = scene_from_layer(self.layer, self._project.transformContext(), extent, extent_crs)
        typed = self.state.typed(self._snapshot.models.parameters, self.has_consent)
        path = default_output_path(self._project, self.state.question, self._now())
        clicks = clicks_path_beside(path) if self.pipeline.asks_model else ""
        return typed.build(scene, Output(str(path), clicks=clicks, **paths_beside(path, self._rasters(typed.recipe()))))

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
        self._end_run(RunState(finished=finished))

    def take_failed(self, failed: Failed) -> None:
        """The run has ended without one."""
        self._end_run(RunState(failed=None if failed.kind == "Cancelled" else failed))

    def take_answer(self, request: Request, layers: ClickLayers, answers: Sequence[str]) -> None:
        """A run has ended with the answer of a vision-language model, which lies in layers now."""
        self._answer.remember(request, layers)
        self._set_run(answers=tuple(answers))

    @property
    def _pictures_go_to(self) -> str:
        """The address that the choice sends pictures to; empty: none."""
        typed = self.state.typed(self._snapshot.models.parameters)
        return Recipe(typed.pipeline, parameters=typed.parameters, preset=typed.preset).pictures_go_to

    def _find_problems(self) -> Problems:
        return find_problems(self.state, self._snapshot, self.layer, self._area is not None)

    def _tell_change(self) -> None:
        """Another choice has other problems."""
        self._problems = self._find_problems()
        self.changed.emit()

    def _sending(self, request: Request) -> Sending:
        address = parse_address(request.recipe.pictures_go_to).base_url
        views = count_views(self.layer, request.scene, self.pipeline, self._resolved(request.recipe))
        return Sending(address, is_this_machine(address), views)

    def _resolved(self, recipe: Recipe) -> dict[str, ParameterValue]:
        """Return the values of all parameters by name, as the engine resolves them."""
        return recipe.checked_parameters(self._snapshot.models.parameters)

    def _rasters(self, recipe: Recipe) -> tuple[str, ...]:
        """Return the names of the rasters in `Output`: those chosen, and the scores where they are the whole result."""
        needed = {"score_raster"} if self.pipeline.makes_heat(self._resolved(recipe)) else set()
        return tuple(name for name in RASTER_SUFFIXES if name in {*self.state.rasters, *needed})

    def _end_run(self, run: RunState) -> None:
        """Show how a run has ended; it may have taken long, so that the disk is looked at again."""
        self.run = run
        self._snapshot = Snapshot.take(self.state)
        self._tell_change()

    def _set_run(self, **changes: Any) -> None:
        self.run = dataclasses.replace(self.run, **changes)
        self.changed.emit()
