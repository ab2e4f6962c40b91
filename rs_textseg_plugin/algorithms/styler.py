"""Gives a result its colours when Processing loads it into the project."""

from __future__ import annotations

from collections import deque

from qgis.core import (
    QgsMapLayer,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
    QgsRasterLayer,
    QgsVectorLayer,
)

from rs_textseg_plugin.contract.events import Finished
from rs_textseg_plugin.contract.request import Request
from rs_textseg_plugin.host.layers.result_layers import result_classes, write_provenance, written_rasters
from rs_textseg_plugin.host.layers.style import style_by_class, style_raster

# QGIS keeps the C++ half of a post-processor only: without another reference the Python half, which does the work,
# is gone before the layer is loaded. Nobody tells when that is, so the last ones are kept.
_ALIVE: deque[Styler] = deque(maxlen=50)


class Styler(QgsProcessingLayerPostProcessorInterface):
    """Gives a layer its colours and writes how it came about into it.

    Args:
        kind: name of the layer's file in `Output`.
        finished: what the run said at its end.
        request: what was asked.
    """

    def __init__(self, kind: str, finished: Finished, request: Request) -> None:
        super().__init__()
        self._kind, self._finished, self._request = kind, finished, request

    def postProcessLayer(  # noqa: N802 (QGIS's name)
        self, layer: QgsMapLayer, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> None:
        """Style a layer that was just loaded; QGIS calls this on the main thread."""
        classes = self._request.query.output_classes
        if isinstance(layer, QgsVectorLayer):
            style_by_class(layer, result_classes(self._request))
        elif isinstance(layer, QgsRasterLayer):
            style_raster(layer, self._kind, classes)
        write_provenance(layer, self._finished, self._request)


def style_when_loaded(context: QgsProcessingContext, finished: Finished, request: Request) -> None:
    """Let polygons and rasters be styled, where they will be loaded at all."""
    for kind, path in {"path": finished.path, **written_rasters(finished)}.items():
        if context.willLoadLayerOnCompletion(path):
            styler = Styler(kind, finished, request)
            context.layerToLoadOnCompletionDetails(path).setPostProcessor(styler)
            _ALIVE.append(styler)
