"""How: pipeline, models, parameters. Every default is written down here, with its source.

The tables are data for all faces of the product: the command line and the Processing algorithm check against
them, the dock builds its widgets from them, and provenance quotes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.contract.pipelines.sam_clip import SAM_CLIP
from rs_textseg_plugin.contract.pipelines.segearth_ov import SEGEARTH_OV
from rs_textseg_plugin.contract.pipelines.text2seg import GROUNDING_SAM, SURGERY_SAM, TEXT2SEG, read_branches
from rs_textseg_plugin.contract.pipelines.vlm_sam import VLM_SAM
from rs_textseg_plugin.contract.tables.parameter import Parameter, ParameterValue
from rs_textseg_plugin.contract.tables.pipeline_info import PipelineInfo
from rs_textseg_plugin.contract.tables.presets import PRESETS, Preset, find_preset
from rs_textseg_plugin.contract.tables.shared import COMPETITOR

__all__ = [
    "GROUNDING_SAM",
    "PIPELINES",
    "PRESETS",
    "SAM_CLIP",
    "SEGEARTH_OV",
    "SURGERY_SAM",
    "TEXT2SEG",
    "VLM_SAM",
    "Parameter",
    "ParameterValue",
    "PipelineInfo",
    "Preset",
    "Recipe",
    "competitor",
    "find_pipeline",
    "find_preset",
    "is_closed_list",
    "wants_instances",
]

_ALL = (SAM_CLIP, SEGEARTH_OV, GROUNDING_SAM, SURGERY_SAM, TEXT2SEG, VLM_SAM)
PIPELINES: dict[str, PipelineInfo] = {info.name: info for info in _ALL}


def find_pipeline(name: str) -> PipelineInfo:
    """Return the pipeline of that name.

    Raises:
        RecipeError: there is none.
    """
    if name not in PIPELINES:
        raise RecipeError(f"There is no pipeline {name!r}: choose one of {', '.join(PIPELINES)}.")
    return PIPELINES[name]


@dataclass(frozen=True)
class Recipe:
    """How a query is answered.

    Attributes:
        pipeline: a name in `PIPELINES`.
        models: a set of the catalogue, or a folder with checkpoints.
        parameters: what differs from the defaults.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        precision: ``auto`` (bf16 on GPUs that have it, else fp32), ``fp32`` or ``bf16``.
    """

    pipeline: str = SAM_CLIP.name
    models: str = "demo"
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    device: str = "auto"
    precision: str = "auto"

    def checked_parameters(self) -> dict[str, ParameterValue]:
        """Return every parameter of the pipeline with its value.

        Raises:
            RecipeError: unknown pipeline or parameter, or a value that does not fit.
        """
        values = find_pipeline(self.pipeline).read_parameters(self.parameters)
        _check_together(values)
        return values

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Recipe:
        """Rebuild from what JSON makes of a `Recipe`."""
        return cls(**data)


def wants_instances(parameters: Mapping[str, ParameterValue]) -> bool:
    """Whether objects of one class stay apart where they touch, from all of a pipeline's parameters."""
    objects = parameters.get("objects", "regions")
    return objects == "instances" or (objects == "auto" and parameters.get("selector") == "crop")


def competitor(parameters: Mapping[str, ParameterValue]) -> str:
    """Return the words that stand for everything that was not asked for, from all of a pipeline's parameters."""
    return str(parameters.get("competitor", COMPETITOR.default))


def is_closed_list(parameters: Mapping[str, ParameterValue]) -> bool:
    """Whether a list of several classes is all that there is, from all of a pipeline's parameters."""
    return bool(parameters.get("closed_list", False))


def _check_together(values: Mapping[str, Any]) -> None:
    """Refuse values that fit their own parameter and not each other."""
    if values["overlap_px"] > values["tile_px"] // 2:
        raise RecipeError(
            f"The parameter overlap_px={values['overlap_px']} is more than half of tile_px={values['tile_px']}: "
            "make it smaller."
        )
    stride_px, window_px = values.get("clip_stride_px", 0), values.get("clip_window_px", 0)
    if stride_px > window_px:
        raise RecipeError(
            f"The parameter clip_stride_px={stride_px} is larger than clip_window_px={window_px}, "
            "which would leave pixels unseen: make it smaller."
        )
    if values.get("base_url") and values.get("vlm"):
        raise RecipeError(
            f"The parameters base_url={values['base_url']} and vlm={values['vlm']} name two models: keep one of them."
        )
    if values.get("base_url") and not values.get("model"):
        raise RecipeError(
            f"The parameter base_url={values['base_url']} needs the name of a model on that server: add model=NAME."
        )
    if "branches" in values:
        read_branches(str(values["branches"]))
    if not competitor(values).strip(" |"):
        raise RecipeError("The parameter competitor names no word: write one, for example competitor=background.")
