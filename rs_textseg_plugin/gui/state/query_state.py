"""What the user has chosen in the dock, as plain values, and how it is remembered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

from rs_textseg_plugin.contract.events import Failed, Finished, Progress
from rs_textseg_plugin.contract.recipe import PIPELINES, ParameterValue, Recipe
from rs_textseg_plugin.gui.state.vlm_choice import VlmChoice, remember_choice, remembered_choice
from rs_textseg_plugin.host import settings
from rs_textseg_plugin.host.output_paths import RASTER_SUFFIXES

WHOLE_LAYER = "layer"
MAP_CANVAS = "canvas"
DRAWN_AREA = "area"
CLASSES = "classes"
PHRASE = "phrase"


@dataclass(frozen=True)
class QueryState:
    """What the user has chosen.

    Attributes:
        layer_id: id of a layer of the project; empty: none.
        text: the class list as typed.
        phrase: the phrase as typed; both are kept, one of them is asked.
        asks: `CLASSES` or `PHRASE`, for methods that answer both.
        pipeline: a name in `PIPELINES`.
        models: id of a set, or a folder.
        preset: a name in `PRESETS` that fits the pipeline; empty: none.
        rasters: what is written beside the polygons; names in `RASTER_SUFFIXES`.
        extent_choice: `WHOLE_LAYER`, `MAP_CANVAS` or `DRAWN_AREA`, which is not remembered.
        parameters: recipe values that differ from those of the method, the models and the preset.
        ground_resolution_m: size of a working pixel; None: the raster's own.
        device: ``auto``, ``cpu`` or ``cuda``.
        vlm: which vision-language model is asked, by methods that ask one.
    """

    layer_id: str = ""
    text: str = ""
    phrase: str = ""
    asks: str = CLASSES
    pipeline: str = Recipe().pipeline
    models: str = Recipe().models
    preset: str = ""
    rasters: tuple[str, ...] = ()
    extent_choice: str = WHOLE_LAYER
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    ground_resolution_m: Optional[float] = None
    device: str = Recipe().device
    vlm: VlmChoice = field(default_factory=VlmChoice)

    @property
    def kinds(self) -> tuple[str, ...]:
        """What the method answers: `CLASSES`, `PHRASE` or both."""
        info = PIPELINES[self.pipeline]
        return (CLASSES, PHRASE) if info.answers_phrases else (info.takes,)

    @property
    def kind(self) -> str:
        """What is asked: the user's choice, where the method leaves one."""
        return self.asks if self.asks in self.kinds else self.kinds[0]

    @property
    def wanted_rasters(self) -> tuple[str, ...]:
        """What is written beside the polygons: the user's choice, and a heat map where that is the result."""
        is_heat = self.parameters.get("result") == "heat"
        return tuple(name for name in RASTER_SUFFIXES if name in self.rasters or (is_heat and name == "score_raster"))

    @property
    def question(self) -> str:
        """The text that is asked."""
        return self.phrase if self.kind == PHRASE else self.text


@dataclass(frozen=True)
class RunState:
    """What the engine is doing, or how it ended last; `failed` is None where the user stopped it.

    `answers` is what a vision-language model said of each object.
    """

    is_running: bool = False
    is_stopping: bool = False
    progress: Optional[Progress] = None
    counts: Mapping[str, int] = field(default_factory=dict)
    finished: Optional[Finished] = None
    failed: Optional[Failed] = None
    answers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sending:
    """What leaves the plugin, before the user agrees to it.

    Attributes:
        base_url: address of the server.
        is_this_machine: whether that is this machine itself.
        views: about how many pictures; None: not known.
    """

    base_url: str
    is_this_machine: bool
    views: Optional[int]


@dataclass(frozen=True)
class Problems:
    """Why nothing can run, in one sentence for each field; empty where nothing speaks against it."""

    layer: str = ""
    extent: str = ""
    text: str = ""
    models: str = ""
    parameters: str = ""
    vlm: str = ""


def remembered_state() -> QueryState:
    """Return the choices of the last session, as far as they are still possible."""
    pipeline, extent_choice = settings.LAST_PIPELINE.read(), settings.LAST_EXTENT_CHOICE.read()
    return QueryState(
        text=settings.LAST_TEXT.read(),
        phrase=settings.LAST_PHRASE.read(),
        asks=settings.LAST_ASKS.read(),
        pipeline=pipeline if pipeline in PIPELINES else Recipe().pipeline,
        models=settings.LAST_MODELS.read(),
        rasters=tuple(name for name in settings.LAST_RASTERS.read().split(",") if name in RASTER_SUFFIXES),
        extent_choice=extent_choice if extent_choice in (WHOLE_LAYER, MAP_CANVAS) else WHOLE_LAYER,
        device=settings.LAST_DEVICE.read(),
        vlm=remembered_choice(),
    )


def remember_state(state: QueryState) -> None:
    """Keep the choices for the next session."""
    settings.LAST_TEXT.write(state.text)
    settings.LAST_PHRASE.write(state.phrase)
    settings.LAST_ASKS.write(state.asks)
    settings.LAST_PIPELINE.write(state.pipeline)
    settings.LAST_MODELS.write(state.models)
    settings.LAST_RASTERS.write(",".join(state.rasters))
    settings.LAST_EXTENT_CHOICE.write(WHOLE_LAYER if state.extent_choice == DRAWN_AREA else state.extent_choice)
    settings.LAST_DEVICE.write(state.device)
    remember_choice(state.vlm)
