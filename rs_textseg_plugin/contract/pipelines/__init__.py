"""The methods that exist, one table a file: what lies in this folder is a method.

The file ``sam_clip.py`` holds the table ``INFO`` of the method ``sam-clip``; its code is the module of the same name in
`engine.pipelines`. Nothing outside this folder is ever looked at.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping

from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.contract.tables.parameter import Values
from rs_textseg_plugin.contract.tables.pipeline_info import PipelineInfo, Preset


def module_name(pipeline: str) -> str:
    """Return the name of the modules that hold a method's table and its code."""
    return pipeline.replace("-", "_")


def _find_tables() -> dict[str, PipelineInfo]:
    modules = sorted(found.name for found in pkgutil.iter_modules(__path__))
    tables = [(name, importlib.import_module(f"{__name__}.{name}").INFO) for name in modules]
    for name, info in tables:
        if module_name(info.name) != name:
            raise ImportError(
                f"The table {name}.py is of the method {info.name!r}: name it {module_name(info.name)}.py."
            )
    return {info.name: info for _, info in sorted(tables, key=lambda entry: entry[1].position)}


PIPELINES: Mapping[str, PipelineInfo] = _find_tables()
PRESETS: Mapping[str, Preset] = {name: preset for info in PIPELINES.values() for name, preset in info.presets.items()}


def find_pipeline(name: str) -> PipelineInfo:
    """Return the pipeline of that name.

    Raises:
        RecipeError: there is none.
    """
    if name not in PIPELINES:
        raise RecipeError(f"There is no pipeline {name!r}: choose one of {', '.join(PIPELINES)}.")
    return PIPELINES[name]


def find_preset(name: str, pipeline: str) -> Values:
    """Return the parameters of that preset; none for an empty name.

    Raises:
        RecipeError: there is no such preset, or it is another pipeline's.
    """
    if not name:
        return {}
    if name not in PRESETS:
        raise RecipeError(f"There is no preset {name!r}: choose one of {', '.join(PRESETS)}.")
    presets = find_pipeline(pipeline).presets
    if name not in presets:
        owner = next(info.name for info in PIPELINES.values() if name in info.presets)
        raise RecipeError(
            f"The preset {name!r} is one of the pipeline {owner}, not of {pipeline}: "
            f"choose {' or '.join(presets) or 'none'}, or the pipeline {owner}."
        )
    return presets[name].values
