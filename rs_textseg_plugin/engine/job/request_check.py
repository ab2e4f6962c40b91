"""What is wrong with a request, found out before anything is computed."""

from __future__ import annotations

from rs_textseg_plugin.contract.errors import OutputError, QueryError
from rs_textseg_plugin.contract.query import Query, require_few_classes
from rs_textseg_plugin.contract.recipe import find_pipeline
from rs_textseg_plugin.contract.request import Request
from rs_textseg_plugin.contract.tables.pipeline_info import PipelineInfo
from rs_textseg_plugin.engine.results.output_check import check_output


def check_request(request: Request) -> None:
    """Find out what is wrong with a request as far as neither raster nor models are needed.

    Raises:
        RecipeError, QueryError, OutputError: as they say.
    """
    info = find_pipeline(request.recipe.pipeline)
    info.read_parameters(request.recipe.chosen_parameters)  # together they are checked with those of the models
    _check_question(info, request.query)
    require_few_classes(len(request.query.output_classes))
    if request.output.clicks and not info.asks_model:
        raise OutputError(
            f"The pipeline {info.name} asks no vision-language model, so there are no clicks to write to "
            f"{request.output.clicks}: leave that output out."
        )
    check_output(request.output, request.scene.path, _other_inputs(request))


def _other_inputs(request: Request) -> list[str]:
    """Texts of a request that may name an input file beside the raster: the models, and values of parameters."""
    values = [request.recipe.models, *request.recipe.chosen_parameters.values()]
    return [value.strip() for value in values if isinstance(value, str) and value.strip()]


def _check_question(info: PipelineInfo, query: Query) -> None:
    if info.takes == "phrase" and not query.phrase:
        raise QueryError(
            f"The pipeline {info.name} answers phrases and questions, and the request holds a class list: "
            'give a phrase, for example --phrase "the white ship next to the pier".'
        )
    if info.takes == "classes" and (not query.positives or (query.phrase and not info.answers_phrases)):
        raise QueryError(
            f"The pipeline {info.name} answers class lists, and the request holds none: "
            'give one, for example --text "building|roof, road, water".'
        )
