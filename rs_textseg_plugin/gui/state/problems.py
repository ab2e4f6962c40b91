"""The problems of a choice: sentences that say why it cannot be run."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from qgis.core import QgsMapLayer

from rs_textseg_plugin.contract.errors import InputError, QueryError
from rs_textseg_plugin.contract.recipe import find_pipeline
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.gui.state.query_state import DRAWN_AREA, QueryState
from rs_textseg_plugin.gui.state.snapshot import Snapshot
from rs_textseg_plugin.host.layers.scene_from_layer import layer_support
from rs_textseg_plugin.host.translate import tr


@dataclass(frozen=True)
class Problems:
    """Why nothing can run, in one sentence for each field; empty where nothing speaks against it."""

    layer: str = ""
    extent: str = ""
    text: str = ""
    models: str = ""
    parameters: str = ""
    vlm: str = ""


def find_problems(state: QueryState, snapshot: Snapshot, layer: QgsMapLayer | None, has_area: bool) -> Problems:
    """Return the problems of a choice. An empty text is none: there is just nothing to do yet.

    Args:
        state: the choice.
        snapshot: what disk and settings say about it.
        layer: the chosen one.
        has_area: whether a rectangle was drawn.
    """
    asks_model = find_pipeline(state.pipeline).asks_model
    lacks_area = state.extent_choice == DRAWN_AREA and not has_area
    return Problems(
        layer=layer_support(layer).value,
        extent=tr("Draw a rectangle on the map.") if lacks_area else "",
        text=_text_problem(state) if state.question.strip() else "",
        models=snapshot.models.problem,
        parameters=_parameter_problem(state, snapshot),
        vlm=state.vlm.problem(snapshot.models.has_vlm, snapshot.missing_folders) if asks_model else "",
    )


def _text_problem(state: QueryState) -> str:
    try:
        state.typed({}).query()
    except QueryError as error:
        return str(error)
    return ""


def _parameter_problem(state: QueryState, snapshot: Snapshot) -> str:
    """Return the sentence on resolution, device or parameters; the language model has a field of its own."""
    typed = dataclasses.replace(state.typed(snapshot.models.parameters), parameters=state.parameters)
    try:
        typed.scene(Scene(""))
        typed.recipe()
    except InputError as error:
        return str(error)
    return ""
