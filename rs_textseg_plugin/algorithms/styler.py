"""Gives a result its colours when Processing loads it into the project."""

from __future__ import annotations

from collections import deque

from qgis.core import (
    QgsMapLayer,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
    QgsVectorLayer,
)

from rs_textseg_plugin.contract.events import Finished
from rs_textseg_plugin.contract.request import Request
from rs_textseg_plugin.host.result_layers import write_provenance
from rs_textseg_plugin.host.style import style_by_class

# QGIS keeps the C++ half of a post-processor only: without another reference the Python half, which does the work,
# is gone before the layer is loaded. Nobody tells when that is, so the last ones are kept.
_ALIVE: deque[Styler] = deque(maxlen=50)


class Styler(QgsProcessingLayerPostProcessorInterface):
    """Colours the layer by class and writes how it came about into it."""

    def __init__(self, finished: Finished, request: Request) -> None:
        super().__init__()
        self._finished, self._request = finished, request

    def postProcessLayer(  # noqa: N802 (QGIS's name)
        self, layer: QgsMapLayer, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> None:
        """Style a layer that was just loaded; QGIS calls this on the main thread."""
        if isinstance(layer, QgsVectorLayer):
            style_by_class(layer, self._request.query.output_classes)
            write_provenance(layer, self._finished, self._request)


def style_when_loaded(context: QgsProcessingContext, finished: Finished, request: Request) -> None:
    """Let the polygons be styled, where they will be loaded at all."""
    if context.willLoadLayerOnCompletion(request.output.path):
        details = context.layerToLoadOnCompletionDetails(request.output.path)
        styler = Styler(finished, request)
        details.setPostProcessor(styler)
        _ALIVE.append(styler)
