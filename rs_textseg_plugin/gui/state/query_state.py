"""The user's choices in the dock as plain values, and how they are remembered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

from rs_textseg_plugin.contract.errors import QueryError
from rs_textseg_plugin.contract.events import Failed, Finished, Progress
from rs_textseg_plugin.contract.recipe import DEVICES, PIPELINES, ParameterValue, PipelineInfo, Recipe, Values
from rs_textseg_plugin.contract.tables.pipeline_info import CLASSES, PHRASE
from rs_textseg_plugin.contract.text.typed_request import TypedRequest
from rs_textseg_plugin.contract.text.word_list import WordList, find_word_list
from rs_textseg_plugin.gui.state.vlm_choice import VlmChoice, remember_choice, remembered_choice
from rs_textseg_plugin.host import settings
from rs_textseg_plugin.host.output_paths import RASTER_SUFFIXES

WHOLE_LAYER = "layer"
MAP_CANVAS = "canvas"
DRAWN_AREA = "area"


@dataclass(frozen=True)
class QueryState:
    """The user's choices.

    Attributes:
        layer_id: id of a layer of the project; empty: none.
        text: the class list as typed.
        word_list: the list under a name that was taken last; it counts while the text is still its own.
        phrase: the phrase as typed; both are kept, one of them is asked.
        question_kind: `CLASSES` or `PHRASE`, for methods that answer both.
        pipeline: a name in `PIPELINES`.
        models: id of a set, or a folder.
        preset: a name in `PRESETS` that fits the pipeline; empty: none.
        rasters: what is written beside the polygons; names in `RASTER_SUFFIXES`.
        extent_choice: `WHOLE_LAYER`, `MAP_CANVAS` or `DRAWN_AREA`, which is not remembered.
        parameters: recipe values that differ from those of the method, the models and the preset.
        ground_resolution_m: size of a working pixel; None: the raster's own.
        device: one of `DEVICES`.
        vlm: which vision-language model is asked, by methods that ask one.
    """

    layer_id: str = ""
    text: str = ""
    word_list: Optional[WordList] = None
    phrase: str = ""
    question_kind: str = CLASSES
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
    def info(self) -> PipelineInfo:
        """The method."""
        return PIPELINES[self.pipeline]

    @property
    def kind(self) -> str:
        """`CLASSES` or `PHRASE`: the user's choice, where the method leaves one."""
        kinds = self.info.question_kinds
        return self.question_kind if self.question_kind in kinds else kinds[0]

    @property
    def question(self) -> str:
        """The text that is asked."""
        return self.phrase if self.kind == PHRASE else self.text

    @property
    def list_parameters(self) -> Values:
        """What the word list that is asked says for the preset."""
        is_asked = self.word_list is not None and self.kind == CLASSES and self.word_list.text == self.text
        return self.word_list.parameters(self.preset) if self.word_list and is_asked else {}

    def typed(self, of_models: Values, agrees_to_send: bool = False) -> TypedRequest:
        """Return the choices as the one builder of requests takes them, with what the model set brings along."""
        is_phrase = self.kind == PHRASE
        return TypedRequest(
            text="" if is_phrase else self.text,
            phrase=self.phrase if is_phrase else "",
            pipeline=self.pipeline,
            models=self.models,
            preset=self.preset,
            parameters={**self.parameters, **(self.vlm.parameters if self.info.asks_model else {})},
            of_models=of_models,
            device=self.device,
            resolution="" if self.ground_resolution_m is None else str(self.ground_resolution_m),
            agrees_to_send=agrees_to_send,
            list_parameters=self.list_parameters,
        )


@dataclass(frozen=True)
class RunState:
    """The run under way, or the last one; `failed` is None where the user stopped it.

    `answers` are the words of a vision-language model, an entry for each object.
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
    """Pictures that will be sent once the user agrees.

    Attributes:
        base_url: address of the server.
        is_this_machine: whether that is this machine itself.
        views: about how many pictures; None: not known.
    """

    base_url: str
    is_this_machine: bool
    views: Optional[int]


def remembered_state() -> QueryState:
    """Return the choices of the last session, as far as they are still possible."""
    pipeline, extent_choice = settings.LAST_PIPELINE.read(), settings.LAST_EXTENT_CHOICE.read()
    device = settings.LAST_DEVICE.read()
    return QueryState(
        text=settings.LAST_TEXT.read(),
        word_list=_remembered_list(),
        phrase=settings.LAST_PHRASE.read(),
        question_kind=settings.LAST_QUESTION_KIND.read(),
        pipeline=pipeline if pipeline in PIPELINES else Recipe().pipeline,
        models=settings.LAST_MODELS.read(),
        rasters=tuple(name for name in settings.LAST_RASTERS.read().split(",") if name in RASTER_SUFFIXES),
        extent_choice=extent_choice if extent_choice in (WHOLE_LAYER, MAP_CANVAS) else WHOLE_LAYER,
        device=device if device in DEVICES else Recipe().device,
        vlm=remembered_choice(),
    )


def _remembered_list() -> Optional[WordList]:
    """Return the word list of the last session; None: there was none, or it is gone."""
    try:
        name = settings.LAST_WORD_LIST.read()
        return find_word_list(name) if name else None
    except QueryError:
        return None


def remember_state(state: QueryState) -> None:
    """Keep the choices for the next session."""
    settings.LAST_TEXT.write(state.text)
    settings.LAST_WORD_LIST.write(state.word_list.name if state.word_list else "")
    settings.LAST_PHRASE.write(state.phrase)
    settings.LAST_QUESTION_KIND.write(state.question_kind)
    settings.LAST_PIPELINE.write(state.pipeline)
    settings.LAST_MODELS.write(state.models)
    settings.LAST_RASTERS.write(",".join(state.rasters))
    settings.LAST_EXTENT_CHOICE.write(WHOLE_LAYER if state.extent_choice == DRAWN_AREA else state.extent_choice)
    settings.LAST_DEVICE.write(state.device)
    remember_choice(state.vlm)
