"""What parameters are while the user sets none."""

from __future__ import annotations

from rs_textseg_plugin.contract.catalog import MANIFEST, load_catalog, read_manifest
from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.contract.recipe import PRESETS, ParameterValue, find_pipeline, find_preset
from rs_textseg_plugin.gui.state.model_choices import folder_of


def presets_of(pipeline: str) -> dict[str, str]:
    """Return the names of a pipeline's presets, and what each is in a few words."""
    return {name: preset.about for name, preset in PRESETS.items() if preset.pipeline == pipeline}


def base_values(pipeline: str, models: str, preset: str) -> dict[str, ParameterValue]:
    """Return every parameter of a pipeline: as the preset says, else the model set, else the table of defaults."""
    info = find_pipeline(pipeline)
    chosen = find_preset(preset, pipeline)
    try:
        return info.read_parameters({**info.own(_values_of_set(models)), **chosen})
    except RecipeError:  # of a set's manifest: the engine will say so
        return info.read_parameters(chosen)


def _values_of_set(models: str) -> dict[str, ParameterValue]:
    """Return what a set, or a folder with a manifest, has instead of the defaults."""
    folder = folder_of(models)
    if folder is not None and (folder / MANIFEST).is_file():
        try:
            return dict(read_manifest(folder / MANIFEST).parameters)
        except ValueError:  # the engine will say so
            return {}
    return next((dict(entry.parameters) for entry in load_catalog() if entry.id == models), {})
