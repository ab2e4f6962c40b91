"""The engine inside this process: for the engine's own Python, tests and scripts. QGIS uses the worker process."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Iterator

from rs_textseg_plugin.contract.errors import EngineUnavailable, TextSegError
from rs_textseg_plugin.contract.events import Event, Failed
from rs_textseg_plugin.contract.request import Request
from rs_textseg_plugin.runtime.client import BUSY


class InProcessClient:
    """Runs requests in the thread that iterates; see `EngineClient`."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._turn = threading.Lock()

    def run(self, request: Request) -> Iterator[Event]:
        """Yield the events of a run."""
        if not self._turn.acquire(blocking=False):
            yield BUSY
            return
        try:
            self._stopped.clear()
            yield from self._follow(request)
        except TextSegError as error:
            yield Failed(type(error).__name__, str(error), traceback.format_exc())
        finally:
            self._turn.release()

    def _follow(self, request: Request) -> Iterator[Event]:
        try:
            from rs_textseg_plugin.engine.service import run
        except ImportError as error:
            raise EngineUnavailable(
                f"The engine cannot be imported into this Python ({error}): "
                "install the packages of requirements.txt, or use a worker process."
            ) from error
        yield from run(request, self._stopped.is_set)

    def cancel(self) -> None:
        """Ask the current run to stop; it does so at its next event."""
        self._stopped.set()

    def close(self) -> None:
        """Cancel the current run; there is nothing else to end."""
        self.cancel()
