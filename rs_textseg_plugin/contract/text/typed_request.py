"""The one builder of requests: what a face of the product has gathered, as typed, becomes a `Request`.

Command line, Processing and dock fill the same fields, so that they understand the same words and refuse the same
mistakes with the same sentences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rs_textseg_plugin.contract.errors import QueryError
from rs_textseg_plugin.contract.query import Query, parse_class_list
from rs_textseg_plugin.contract.recipe import ParameterValue, Recipe, Values, find_pipeline
from rs_textseg_plugin.contract.request import Output, Request
from rs_textseg_plugin.contract.scene import Scene, Stretch
from rs_textseg_plugin.contract.server.consent import require_consent
from rs_textseg_plugin.contract.tables.pipeline_info import CLASSES
from rs_textseg_plugin.contract.text.phrase import parse_phrase_for
from rs_textseg_plugin.contract.text.typed_values import (
    parse_bands,
    parse_device,
    parse_nodata,
    parse_precision,
    parse_resolution,
)
from rs_textseg_plugin.contract.text.word_list import find_word_list

_EXAMPLE = "the white ship next to the pier"


@dataclass(frozen=True)
class TypedRequest:
    """What was asked for, as typed; an empty text stands for the default.

    Attributes:
        text, word_list, phrase: a class list, the name of one, or a phrase; exactly one of them is given.
        list_parameters: what the word list that `text` was taken from says for the preset; of `word_list` it is found.
        pipeline, models, preset: names.
        parameters: values by name, as text or in their types.
        of_models: what the model set brings along, see `catalog.own_parameters`; the others win over it.
        device, precision: names.
        bands, stretch, nodata, resolution: how the raster is read.
        agrees_to_send: whether pictures may leave this machine for the address that the parameters name.
    """

    text: str = ""
    word_list: str = ""
    phrase: str = ""
    pipeline: str = Recipe().pipeline
    models: str = Recipe().models
    preset: str = ""
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    of_models: Values = field(default_factory=dict)
    device: str = Recipe().device
    precision: str = Recipe().precision
    bands: str = ""
    stretch: str = ""
    nodata: str = ""
    resolution: str = ""
    agrees_to_send: bool = False
    list_parameters: Values = field(default_factory=dict)

    def query(self) -> Query:
        """Return the query.

        Raises:
            QueryError: nothing is asked, or something that the pipeline does not answer.
            RecipeError: there is no such pipeline.
        """
        info = find_pipeline(self.pipeline)
        given = {
            "a class list": self.text,
            "the name of a class list": self.word_list,
            "a phrase": self.phrase,
        }
        found = [name for name, value in given.items() if value.strip()]
        if len(found) != 1:
            wanted, got = ", ".join(given), " and ".join(found) or "none of them"
            raise QueryError(f"Say what to look for with exactly one of these: {wanted}. You gave {got}.")
        if self.phrase.strip():
            return parse_phrase_for(info, self.phrase)
        if CLASSES not in info.question_kinds:
            raise QueryError(
                f"The pipeline {info.name} answers phrases and questions, and {found[0]} was given: "
                f'give a phrase, for example "{_EXAMPLE}".'
            )
        return parse_class_list(find_word_list(self.word_list.strip()).text if self.word_list.strip() else self.text)

    def recipe(self) -> Recipe:
        """Return how it is answered.

        Raises:
            RecipeError: a name or a parameter does not exist, or a value does not fit.
            QueryError: there is no such word list.
        """
        device, precision = parse_device(self.device), parse_precision(self.precision)
        models, given, of_list = self.models.strip(), dict(self.parameters), dict(self._of_word_list())
        recipe = Recipe(self.pipeline, models, given, device, precision, self.preset, of_list)
        recipe.checked_parameters(self.of_models)
        return recipe

    def _of_word_list(self) -> Values:
        """Return what the word list says for the preset."""
        name = self.word_list.strip()
        return find_word_list(name).parameters(self.preset) if name else self.list_parameters

    def pictures_go_to(self) -> str:
        """Return the address that pictures would be sent to; empty: none is sent.

        Raises:
            RecipeError: as `recipe`.
        """
        return find_pipeline(self.pipeline).pictures_go_to(self.recipe().checked_parameters(self.of_models))

    def scene(self, scene: Scene) -> Scene:
        """Return a scene with what was typed about how it is read; what was not typed stays.

        Raises:
            SceneError: something of it is not understood.
        """
        nodata, resolution_m = parse_nodata(self.nodata), parse_resolution(self.resolution)
        return replace(
            scene,
            bands=parse_bands(self.bands) or scene.bands,
            stretch=Stretch.parse(self.stretch.strip()) if self.stretch.strip() else scene.stretch,
            nodata=scene.nodata if nodata is None else nodata,
            ground_resolution_m=scene.ground_resolution_m if resolution_m is None else resolution_m,
        )

    def build(self, scene: Scene, output: Output) -> Request:
        """Return the request.

        Raises:
            InputError: as `query`, `recipe` and `scene`.
        """
        consent = self.pictures_go_to() if self.agrees_to_send else ""
        return Request(self.scene(scene), self.query(), self.recipe(), output, consent)

    def check(self) -> None:
        """Find out what is wrong as far as the raster is not needed.

        Raises:
            InputError: as `build`, and where pictures would be sent without consent.
        """
        request = self.build(Scene(""), Output(""))
        require_consent(self.pictures_go_to(), request.consent_to_send)
