"""How: pipeline, models, parameters. Every default is written down in `contract.pipelines`, with its source.

The tables are data for all faces of the product: the command line and the Processing algorithm check against
them, the dock builds its widgets from them, and provenance quotes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from rs_textseg_plugin.contract.pipelines import PIPELINES, PRESETS, find_pipeline, find_preset
from rs_textseg_plugin.contract.tables.parameter import Parameter, ParameterValue, Values
from rs_textseg_plugin.contract.tables.pipeline_info import PipelineInfo, Preset

__all__ = [
    "DEVICES",
    "PIPELINES",
    "PRESETS",
    "Parameter",
    "ParameterValue",
    "PipelineInfo",
    "Preset",
    "Recipe",
    "Values",
    "find_pipeline",
    "find_preset",
]

DEVICES = ("auto", "cpu", "cuda", "mps")  # and one GPU of several, as cuda:1
PRECISIONS = ("auto", "fp32", "bf16")
_NOTHING: Values = MappingProxyType({})


@dataclass(frozen=True)
class Recipe:
    """How a query is answered.

    Attributes:
        pipeline: a name in `PIPELINES`.
        models: a set of the catalogue, or a folder with checkpoints.
        parameters: what the user has set.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        precision: ``auto`` (bf16 on GPUs that have it, else fp32), ``fp32`` or ``bf16``.
        preset: name of a preset of the pipeline; empty: none.
        list_parameters: what the word list that was chosen says for that preset, see `text.word_list`.
    """

    pipeline: str = next(iter(PIPELINES))
    models: str = "demo"
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    device: str = "auto"
    precision: str = "auto"
    preset: str = ""
    list_parameters: Mapping[str, ParameterValue] = field(default_factory=dict)

    def checked_parameters(self, of_models: Values = _NOTHING) -> dict[str, ParameterValue]:
        """Return every parameter of the pipeline with its value; the later wins.

        Defaults < model set < preset < word list < user. Beside a preset a model set has a say in few parameters only,
        see `Parameter.follows_models`.

        Args:
            of_models: the values that fit the model set; those of other pipelines among them are passed over.

        Raises:
            RecipeError: unknown pipeline, preset or parameter, or a value that does not fit.
        """
        info = find_pipeline(self.pipeline)
        values = info.read_parameters({**info.own(of_models, bool(self.preset)), **self.chosen_parameters})
        info.check_together(values)
        return values

    @property
    def chosen_parameters(self) -> dict[str, ParameterValue]:
        """What preset, word list and user say, the later word before the earlier.

        Raises:
            RecipeError: unknown pipeline or preset.
        """
        return {**find_preset(self.preset, self.pipeline), **self.list_parameters, **self.parameters}

    @property
    def pictures_go_to(self) -> str:
        """The address of the server that preset and user have pictures sent to; empty: none.

        Raises:
            RecipeError: unknown pipeline or preset.
        """
        return find_pipeline(self.pipeline).pictures_go_to(self.chosen_parameters)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Recipe:
        """Rebuild from what JSON makes of a `Recipe`."""
        return cls(**data)
