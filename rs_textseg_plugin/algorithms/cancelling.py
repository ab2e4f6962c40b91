"""Processing is asked whether it is cancelled; the engine is told. This stands between."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from qgis.core import QgsFeedback

from rs_textseg_plugin.runtime.client import EngineClient

_POLL_S = 0.1


@contextlib.contextmanager
def cancelled_with(feedback: QgsFeedback, client: EngineClient) -> Iterator[None]:
    """Cancel the client's run as soon as the feedback is cancelled, also while the run says nothing."""
    is_over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(feedback, client, is_over), name="rs-textseg-cancel", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join()


def _watch(feedback: QgsFeedback, client: EngineClient, is_over: threading.Event) -> None:
    while not is_over.wait(_POLL_S):
        if feedback.isCanceled():
            client.cancel()
