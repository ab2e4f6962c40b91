"""Starts tasks, one at a time, and tells what happens to them."""

from __future__ import annotations

from functools import partial

from qgis.core import QgsTaskManager
from qgis.PyQt.QtCore import QObject, pyqtSignal

from rs_textseg_plugin.contract.events import Failed, Finished
from rs_textseg_plugin.contract.request import Request
from rs_textseg_plugin.host.server.endpoint_key import KeyHolder
from rs_textseg_plugin.host.task import SegmentTask
from rs_textseg_plugin.runtime.client import EngineClient

_LAST_WAIT_MS = 5000


class QueryRunner(QObject):
    """Runs requests as tasks of QGIS. All signals arrive on the main thread.

    Args:
        client: the engine.
        manager: of QGIS's tasks.
        keys: is asked by the client for the key of a run.

    Signals:
        started: `Request`.
        progressed: `Progress`.
        found: `Found`.
        warned: a sentence.
        completed: `Finished`, `Request`.
        failed: `Failed`.
    """

    started = pyqtSignal(object)
    progressed = pyqtSignal(object)
    found = pyqtSignal(object)
    warned = pyqtSignal(str)
    completed = pyqtSignal(object, object)
    failed = pyqtSignal(object)

    def __init__(
        self,
        client: EngineClient,
        manager: QgsTaskManager,
        keys: KeyHolder | None = None,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._client, self._manager, self._keys = client, manager, keys or KeyHolder()
        # Both are kept as long as the task runs: QGIS holds the C++ half only.
        self._task: SegmentTask | None = None
        self._request: Request | None = None

    @property
    def is_running(self) -> bool:
        """Whether a task is under way."""
        return self._task is not None

    def start(self, request: Request, key: str = "") -> None:
        """Start a task, unless one is under way; the key is kept no longer than that runs."""
        if self._task is not None:
            return
        task = SegmentTask(request, self._client, partial(self._keys.held, key))
        task.progressed.connect(self.progressed)
        task.found.connect(self.found)
        task.warned.connect(self.warned)
        task.completed.connect(self._complete)
        task.failed.connect(self._fail)
        self._task, self._request = task, request
        self.started.emit(request)
        self._manager.addTask(task)

    def cancel(self) -> None:
        """Stop the task; `failed` follows with ``kind="Cancelled"``."""
        if self._task is not None:
            self._task.cancel()

    def shut_down(self) -> None:
        """Stop the task and wait for its thread; the engine must have been closed before, so the wait is short."""
        task, self._task = self._task, None
        if task is not None:
            task.completed.disconnect(self._complete)
            task.failed.disconnect(self._fail)
            task.cancel()
            task.waitForFinished(_LAST_WAIT_MS)

    def _complete(self, finished: Finished) -> None:
        request, self._task, self._request = self._request, None, None
        self.completed.emit(finished, request)

    def _fail(self, failed: Failed) -> None:
        self._task, self._request = None, None
        self.failed.emit(failed)
