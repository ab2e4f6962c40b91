"""A run of the engine as a background task of QGIS."""

from __future__ import annotations

import traceback
from contextlib import AbstractContextManager, nullcontext
from typing import Callable

from qgis.core import QgsTask
from qgis.PyQt.QtCore import pyqtSignal

from rs_textseg_plugin.contract.events import Event, Failed, Finished, Found, Progress, Warned
from rs_textseg_plugin.contract.request import Request
from rs_textseg_plugin.host.translate import tr
from rs_textseg_plugin.runtime.client import EngineClient


class SegmentTask(QgsTask):
    """Follows one run. It knows the request and nothing of layers, projects or widgets.

    Args:
        request: what to do.
        client: does it.
        holding: a context in which the run's thread holds what the client asks for; see `KeyHolder`.

    Attributes:
        outcome: how the run ended; None while it goes on.

    Signals:
        progressed: `Progress`, from the task's thread.
        found: `Found`, from the task's thread.
        warned: a sentence, from the task's thread.
        completed: `Finished`, on the main thread.
        failed: `Failed`, on the main thread; a cancelled run is one of ``kind="Cancelled"``.
    """

    progressed = pyqtSignal(object)
    found = pyqtSignal(object)
    warned = pyqtSignal(str)
    completed = pyqtSignal(object)
    failed = pyqtSignal(object)

    def __init__(
        self, request: Request, client: EngineClient, holding: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> None:
        text = " ".join(request.query.text.split())
        super().__init__(tr("Segment by text: {}").format(text), QgsTask.Flag.CanCancel)
        self._request, self._client, self._holding = request, client, holding
        self.outcome: Finished | Failed | None = None

    def run(self) -> bool:
        """Follow the run in the task's thread; never raises, because that would end QGIS."""
        try:
            with self._holding():
                self._follow()
        except Exception as error:  # noqa: BLE001 (one of the three places)
            self.outcome = Failed("EngineError", f"The plugin failed: {error}.", traceback.format_exc())
        return isinstance(self.outcome, Finished)

    def cancel(self) -> None:
        """Stop the run; QGIS calls this on the main thread."""
        super().cancel()
        self._client.cancel()

    def finished(self, result: bool) -> None:
        """Tell how the run ended, which the outcome says better than `result`; QGIS calls this on the main thread."""
        outcome = self.outcome or Failed("Cancelled", "The run was cancelled.")
        (self.completed if isinstance(outcome, Finished) else self.failed).emit(outcome)

    def _follow(self) -> None:
        for event in self._client.run(self._request):
            self._take(event)
            if self.isCanceled():  # also where the wish came before the run was there to be cancelled
                self._client.cancel()

    def _take(self, event: Event) -> None:
        if isinstance(event, (Finished, Failed)):
            self.outcome = event
        elif isinstance(event, Progress):
            self.setProgress(100.0 * event.fraction)
            self.progressed.emit(event)
        elif isinstance(event, Found):
            self.found.emit(event)
        elif isinstance(event, Warned):
            self.warned.emit(event.message)
