"""The one engine that the dock and the algorithms share."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Callable

from rs_textseg_plugin.contract.errors import EngineUnavailable
from rs_textseg_plugin.contract.events import Event, Failed
from rs_textseg_plugin.contract.request import Request
from rs_textseg_plugin.contract.server.api_key import no_key
from rs_textseg_plugin.runtime.client import EngineClient
from rs_textseg_plugin.runtime.environment import find_interpreter
from rs_textseg_plugin.runtime.worker_process import WorkerProcessClient, no_proxies


class EngineSession:
    """A client whose interpreter is looked for at the first run, so that it may be installed while QGIS is open.

    Args:
        keep_warm: whether the worker process stays after a run; in a program that runs one job it should not.
        api_key: asked for the endpoint's key before each run; see `WorkerProcessClient`.
        proxies: asked for variables with the proxies before each run; see there.
    """

    def __init__(
        self,
        keep_warm: bool = True,
        api_key: Callable[[], str] = no_key,
        proxies: Callable[[], Mapping[str, str]] = no_proxies,
    ) -> None:
        self._keep_warm, self._api_key, self._proxies = keep_warm, api_key, proxies
        self._lock = threading.Lock()
        self._client: WorkerProcessClient | None = None

    @property
    def is_warm(self) -> bool:
        """Whether a worker process is there."""
        return self._client is not None and self._client.is_warm

    def run(self, request: Request) -> Iterator[Event]:
        """Yield the events of a run; see `EngineClient.run`."""
        try:
            client = self._reach()
        except EngineUnavailable as error:
            yield Failed(type(error).__name__, str(error))
            return
        try:
            yield from client.run(request)
        finally:
            if not self._keep_warm:
                self.close()

    def cancel(self) -> None:
        """Stop the current run."""
        if self._client is not None:
            self._client.cancel()

    def close(self) -> None:
        """End the worker; the next run starts a new one."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _reach(self) -> EngineClient:
        with self._lock:
            if self._client is None:
                self._client = WorkerProcessClient(find_interpreter(), api_key=self._api_key, proxies=self._proxies)
            return self._client
