"""A request resolved once: every choice made, every name looked up, before the raster or a model is opened."""

from __future__ import annotations

import os
from dataclasses import dataclass
from types import MappingProxyType

import torch

from rs_textseg_plugin.contract.query import Query
from rs_textseg_plugin.contract.recipe import PipelineInfo, Values, find_pipeline
from rs_textseg_plugin.contract.request import Request
from rs_textseg_plugin.contract.server.consent import require_consent
from rs_textseg_plugin.contract.tables.shared import GENERIC, NO_COMPETITOR, VOCABULARY
from rs_textseg_plugin.contract.text.vocabulary import read_vocabulary
from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.compute.device import choose_device, choose_dtype
from rs_textseg_plugin.engine.compute.trial import find_device
from rs_textseg_plugin.engine.job.request_check import check_request
from rs_textseg_plugin.engine.loading.files import ResolvedSet, resolve_set
from rs_textseg_plugin.engine.pipelines.settings import make_settings
from rs_textseg_plugin.engine.results.polygons import PolygonSettings

_GENERIC_OFFSET = float(os.environ.get("GENERIC_OFFSET", "-6"))


@dataclass(frozen=True)
class RunSettings:
    """What a run reads of a method's parameters, whatever the method; a table that lacks one has its default here.

    Attributes:
        polygons: what becomes of traced regions.
        tile_px, overlap_px: of the tiles, in working pixels.
        makes_instances: whether objects of one class stay apart where they touch.
        competitor, closed_list: what competes with the classes, see `Legend.of`.
        least_presence: see `absent_classes.leave_out_absent`; 0: no class is left out.
        look: ``picture``: the extent is seen at once; ``tiles``: as `view` says.
        view, view_px: whether the extent is seen as one tile, see `scene_tiles.open_scene_tiles`.
    """

    polygons: PolygonSettings
    tile_px: int
    overlap_px: int
    makes_instances: bool
    competitor: str = GENERIC
    closed_list: bool = False
    least_presence: float = 0.0
    look: str = "tiles"
    view: str = "sweep"
    view_px: int = 0

    @property
    def scene_view(self) -> str:
        """How the scene is opened."""
        return self.look if self.look == "picture" else self.view


@dataclass(frozen=True)
class Plan:
    """What a run does.

    Attributes:
        request: what was asked for.
        info: the method's table.
        values: of all its parameters: defaults < model set < preset < word list < user.
        settings: those of them that the run itself reads.
        models: the checkpoints, one for each role.
        legend: the competing classes.
        device: where models run, until memory runs out.
        dtype: the autocast type of models there.
        device_note: why a GPU was passed over, in words; empty: none was.
    """

    request: Request
    info: PipelineInfo
    values: Values
    settings: RunSettings
    models: ResolvedSet
    legend: Legend
    device: torch.device
    dtype: torch.dtype
    device_note: str = ""

    @property
    def notes(self) -> list[str]:
        """What a result says of models that the method would use and the set lacks, and of a GPU that was not used."""
        roles = self.info.optional_roles.items()
        missing = [note for role, note in roles if note and role not in self.models.checkpoints]
        return [*missing, self.device_note] if self.device_note else missing


def make_plan(request: Request) -> Plan:
    """Resolve a request.

    Raises:
        InputError: something of it cannot be done.
    """
    check_request(request)
    recipe, info = request.recipe, find_pipeline(request.recipe.pipeline)
    models = resolve_set(recipe.models, info.roles, info.optional_roles)
    values = recipe.checked_parameters(models.parameters)
    require_consent(info.pictures_go_to(values), request.consent_to_send)
    settings = make_settings(info, RunSettings, values)
    legend = _legend(request.query, settings, models)
    device = choose_device(recipe.device)
    dtype = choose_dtype(recipe.precision, device)
    note = find_device()[1] if recipe.device == "auto" else ""
    return Plan(request, info, MappingProxyType(values), settings, models, legend, device, dtype, note)


def _legend(query: Query, settings: RunSettings, models: ResolvedSet) -> Legend:
    """Lay out the classes, and what competes with them as the parameters and the model set have it."""
    wanted = settings.competitor.strip()
    if wanted == NO_COMPETITOR:
        return Legend.of(query, GENERIC, closed_list=True)
    if wanted != VOCABULARY:
        return Legend.of(query, wanted, settings.closed_list)
    own = models.described.words if models.described else ()
    return Legend.of(query, GENERIC, settings.closed_list, own or read_vocabulary().words)
