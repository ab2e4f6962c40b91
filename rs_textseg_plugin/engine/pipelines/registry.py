"""From a method's name to its code: the module of that name in this folder, and its function ``load``."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from rs_textseg_plugin.contract.pipelines import module_name
from rs_textseg_plugin.engine.pipelines.inputs import PipelineInputs
from rs_textseg_plugin.engine.pipelines.protocol import Pipeline

Load = Callable[[PipelineInputs], Pipeline[Any]]


def find_load(pipeline: str) -> Load:
    """Return the function that loads a method of `contract.pipelines.PIPELINES`; its packages are imported now."""
    load: Load = importlib.import_module(f"{__package__}.{module_name(pipeline)}").load
    return load
