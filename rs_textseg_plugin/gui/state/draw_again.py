"""The model's answer in layers that can be edited, and the request that draws them once more."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from pathlib import Path
from typing import Callable, Optional

from qgis.core import QgsProject

from rs_textseg_plugin.contract.request import Output, Request
from rs_textseg_plugin.host.layers.click_layers import ClickLayers, write_clicks
from rs_textseg_plugin.host.output_paths import (
    RASTER_SUFFIXES,
    clicks_path_beside,
    default_output_path,
    make_folder_for,
    paths_beside,
)

_MODEL = ("base_url", "model", "vlm", "adapter")


class DrawAgain:
    """Remembers the last answer.

    Args:
        project: that its layers are in.
        now: returns the time, for the names of results.
    """

    def __init__(self, project: QgsProject, now: Callable[[], datetime]) -> None:
        self._project, self._now = project, now
        self._request: Optional[Request] = None
        self._layers: Optional[ClickLayers] = None

    @property
    def is_possible(self) -> bool:
        """Whether a layer of the answer is still there."""
        return bool(self._layers and self._layers.found_in(self._project))

    def remember(self, request: Request, layers: ClickLayers) -> None:
        """Take over what was asked, and the layers of the answer."""
        self._request, self._layers = request, layers

    def build_request(self) -> Request:
        """Write the layers as they are now, and return the request that has SAM draw them; no model is asked.

        Raises:
            InputError: there is nothing to draw, or a file cannot be written.
        """
        request, layers = self._request, self._layers
        if request is None or layers is None:
            raise ValueError("There is no answer yet.")
        path = default_output_path(self._project, request.query.text, self._now())
        make_folder_for(path)
        clicks = clicks_path_beside(path)
        write_clicks(layers.found_in(self._project), Path(clicks))
        kept = {name: value for name, value in request.recipe.parameters.items() if name not in _MODEL}
        recipe = dataclasses.replace(request.recipe, parameters={**kept, "clicks": clicks})
        rasters = [name for name in RASTER_SUFFIXES if getattr(request.output, name)]
        return dataclasses.replace(
            request, recipe=recipe, output=Output(str(path), **paths_beside(path, rasters)), consent_to_send=""
        )
