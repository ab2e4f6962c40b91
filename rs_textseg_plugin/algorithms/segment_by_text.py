"""The main job as a Processing algorithm: a raster and a text in, polygons out."""

from __future__ import annotations

import traceback
from typing import Any

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
)
from qgis.PyQt.QtGui import QIcon

from rs_textseg_plugin.algorithms.cancelling import cancelled_with
from rs_textseg_plugin.algorithms.inputs import (
    CLASS_SCORES,
    CLICKS,
    DEVICE,
    LABEL_RASTER,
    OUTPUT,
    SCORE_RASTER,
    Inputs,
    declare,
)
from rs_textseg_plugin.algorithms.styler import style_when_loaded
from rs_textseg_plugin.contract.errors import EngineError, TextSegError
from rs_textseg_plugin.contract.events import Event, Failed, Finished, Progress, Warned
from rs_textseg_plugin.contract.request import Request
from rs_textseg_plugin.host.help_page import help_url
from rs_textseg_plugin.host.icons import plugin_icon
from rs_textseg_plugin.host.log import log
from rs_textseg_plugin.host.server.endpoint_key import KeyHolder
from rs_textseg_plugin.host.translate import tr
from rs_textseg_plugin.runtime.client import EngineClient

COUNT = "COUNT"
HELP = (
    "<p>Segments a raster by text. What the words name is returned as polygons with a class, a score from 0 to 1 "
    "and the runner-up class.</p>"
    "<p>A comma or a new line separates classes, | separates words for the same class, and a class with - in front "
    "competes with the others and is never output: <tt>building|roof|house, road, water, -shadow</tt>. "
    "Everything that is not in the list competes too, unless the parameter <tt>closed_list</tt> says that the list is "
    "complete.</p>"
    "<p>In place of a class list, the name of one can be given (a published one, one of your own, or a text file), or, "
    "for some methods, a phrase: <tt>the largest building within 50 m of a road</tt></p>"
    "<p>The method with a language model takes a phrase or a question. The model is one behind an address (pictures of "
    "the raster are sent there, which has to be agreed to; the key is read from the chosen configuration or from the "
    "environment variable RS_TEXTSEG_API_KEY) or one on this computer: <tt>vlm=FOLDER;adapter=FOLDER</tt> among the "
    "parameters of the method.</p>"
    "<p>Fetch or import a model set first, and name it under <i>Models</i>; a folder with one SAM and one CLIP "
    "checkpoint works as well.</p>"
    "<p>Parameters of the method are written as <tt>key=value;key=value</tt>, for example "
    "<tt>points_per_side=32;min_area_m2=20</tt>.</p>"
)


class SegmentByText(QgsProcessingAlgorithm):
    """``rstextseg:segmentbytext``; runs in a background thread and in qgis_process.

    Args:
        client: the engine.
        keys: is asked by the client for the key of a run.
    """

    def __init__(self, client: EngineClient, keys: KeyHolder) -> None:
        super().__init__()
        self._client, self._keys = client, keys
        self._request: Request | None = None
        self._key = ""

    def createInstance(self) -> SegmentByText:  # noqa: N802 (QGIS's name)
        """Return a new algorithm with the same engine."""
        return SegmentByText(self._client, self._keys)

    def name(self) -> str:
        """Return the stable id."""
        return "segmentbytext"

    def displayName(self) -> str:  # noqa: N802 (QGIS's name)
        """Return the name in the toolbox."""
        return tr("Segment by text")

    def shortDescription(self) -> str:  # noqa: N802 (QGIS's name)
        """Return the tooltip in the toolbox."""
        return tr("Finds what words name in a raster, as polygons with scores")

    def shortHelpString(self) -> str:  # noqa: N802 (QGIS's name)
        """Return the help beside the dialog."""
        return tr(HELP)

    def helpUrl(self) -> str:  # noqa: N802 (QGIS's name)
        """Return the address of the manual."""
        return str(help_url().toString())

    def tags(self) -> list[str]:
        """Return the words that the toolbox finds the algorithm by."""
        words = "segmentation,text,prompt,class,sam,clip,imagery,aerial,satellite,remote sensing,landcover,ai"
        return tr(words).split(",")

    def icon(self) -> QIcon:
        """Return the plugin's icon."""
        return plugin_icon()

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:  # noqa: N802 (QGIS's name)
        """Declare parameters and outputs."""
        for definition in declare():
            self.addParameter(definition)
        self.addOutput(QgsProcessingOutputNumber(COUNT, tr("Number of polygons")))

    def checkParameterValues(  # noqa: N802 (QGIS's name)
        self, parameters: dict[str, Any], context: QgsProcessingContext
    ) -> tuple[bool, str]:
        """Return whether the values can be run, and if not, why."""
        try:
            Inputs(self, parameters, context).check()
        except TextSegError as error:
            return False, str(error)
        # QGIS knows the devices of the list only; cuda:1 is one too.
        known = {name: value for name, value in parameters.items() if name != DEVICE}
        return super().checkParameterValues(known, context)

    def prepareAlgorithm(  # noqa: N802 (QGIS's name)
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> bool:
        """Gather everything from the layers; QGIS calls this in their thread."""
        try:
            inputs = Inputs(self, parameters, context)
            self._request = inputs.read()
            self._key = inputs.key(self._request)
        except TextSegError as error:
            raise QgsProcessingException(str(error)) from error
        return True

    def processAlgorithm(  # noqa: N802 (QGIS's name)
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        """Run the engine; QGIS calls this in a background thread."""
        if self._request is None:
            raise QgsProcessingException(tr("The algorithm was not prepared: start it from the toolbox."))
        try:
            with self._keys.held(self._key):
                finished = self._follow(self._request, feedback)
            style_when_loaded(context, finished, self._request)
        except TextSegError as error:
            raise QgsProcessingException(str(error)) from error
        except Exception as error:
            log(traceback.format_exc())
            raise QgsProcessingException(f"The plugin failed: {error}. The log holds the details.") from error
        return _outputs(finished)

    def _follow(self, request: Request, feedback: QgsProcessingFeedback) -> Finished:
        last: Event | None = None
        with cancelled_with(feedback, self._client):
            for event in self._client.run(request):  # to its end, which frees the client
                _tell(event, feedback)
                last = event
        if isinstance(last, Failed):
            raise last.to_error()
        if not isinstance(last, Finished):
            raise EngineError("The engine ended the run without a result: run again.")
        return last


def _tell(event: Event, feedback: QgsProcessingFeedback) -> None:
    if isinstance(event, Progress):
        feedback.setProgress(100.0 * event.fraction)
        feedback.setProgressText(event.stage)
    elif isinstance(event, Warned):
        feedback.pushWarning(event.message)
    elif isinstance(event, Failed) and event.details:
        log(event.details)
        feedback.pushDebugInfo(event.details)
    elif isinstance(event, Finished):
        _tell_result(event, feedback)


def _tell_result(finished: Finished, feedback: QgsProcessingFeedback) -> None:
    feedback.pushInfo(tr("Device: {}").format(finished.device))
    feedback.pushInfo(tr("Models: {}").format(", ".join(finished.models)))
    if finished.is_demo:
        feedback.pushWarning(tr("These are demo models, which only show how the product works."))
    for note in finished.notes:
        feedback.pushInfo(tr("Note: {}").format(note))
    for row in finished.classes:
        feedback.pushInfo(
            tr("{}: {} polygons, {:.0f} m², mean score {:.2f}").format(row.name, row.count, row.area_m2, row.mean_score)
        )


def _outputs(finished: Finished) -> dict[str, Any]:
    written = {
        OUTPUT: finished.path,
        LABEL_RASTER: finished.label_raster,
        SCORE_RASTER: finished.score_raster,
        CLASS_SCORES: finished.class_scores,
        CLICKS: finished.clicks,
    }
    count = sum(row.count for row in finished.classes)
    return {**{name: path for name, path in written.items() if path}, COUNT: count}
