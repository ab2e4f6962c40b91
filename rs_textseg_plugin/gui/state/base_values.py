"""What parameters are while the user sets none."""

from __future__ import annotations

from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.contract.recipe import ParameterValue, Recipe, Values


def base_values(pipeline: str, preset: str, of_models: Values) -> dict[str, ParameterValue]:
    """Return every parameter of a pipeline: as the preset says, else the model set, else the table of defaults.

    Values of a model set that do not fit are passed over: that they do not is a problem of its own.
    """
    recipe = Recipe(pipeline, preset=preset)
    try:
        return recipe.checked_parameters(of_models)
    except RecipeError:
        return recipe.checked_parameters()
