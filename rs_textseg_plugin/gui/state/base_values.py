"""What parameters are while the user sets none."""

from __future__ import annotations

from typing import Optional

from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.contract.recipe import ParameterValue, Recipe, Values


def base_values(
    pipeline: str, preset: str, of_models: Values, of_list: Optional[Values] = None
) -> dict[str, ParameterValue]:
    """Return every parameter of a pipeline as the engine would have it.

    Values of a model set that do not fit are passed over: that they do not is a problem of its own.

    Args:
        pipeline: its name.
        preset: its name; empty: none.
        of_models: what the model set says.
        of_list: what the chosen word list says for that preset.
    """
    recipe = Recipe(pipeline, preset=preset, list_parameters=of_list or {})
    try:
        return recipe.checked_parameters(of_models)
    except RecipeError:
        return recipe.checked_parameters()
