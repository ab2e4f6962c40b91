"""The engine in a process of its own, kept warm between runs. The only client that QGIS uses."""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Callable

from rs_textseg_plugin.contract.errors import (
    Cancelled,
    EngineCrashed,
    EngineUnavailable,
    TextSegError,
    WireError,
)
from rs_textseg_plugin.contract.events import Event, Failed, Finished
from rs_textseg_plugin.contract.folders import PACKAGE_FOLDER
from rs_textseg_plugin.contract.request import Request
from rs_textseg_plugin.contract.server.api_key import key_from_environment, no_key
from rs_textseg_plugin.contract.version import PROTOCOL
from rs_textseg_plugin.contract.wire import Cancel, Key, Loaded, Message, Ready, Run, RunEvent, Stop, decode, encode
from rs_textseg_plugin.runtime.child_environment import worker_environment
from rs_textseg_plugin.runtime.client import BUSY
from rs_textseg_plugin.runtime.line_process import Ended, LineProcess, Output
from rs_textseg_plugin.runtime.log_tail import LogTail
from rs_textseg_plugin.runtime.start_failures import why_not_started

# -E would ignore PYTHONUTF8 too: without -X utf8 a Windows worker would speak in its code page.
_ARGUMENTS = ("-X", "utf8", "-E", "-s", "-u", "-m", "rs_textseg_plugin.engine", "worker")
_STOP_GRACE_S = 2.0
_KILL_GRACE_S = 5.0


def no_proxies() -> Mapping[str, str]:
    """Return no variables, for those who have none to add."""
    return {}


class WorkerProcessClient:
    """Starts the worker with the first run, and again with the next run after it has ended.

    Args:
        interpreter: Python of the engine's environment; see `find_interpreter`.
        grace_s: how long a cancelled run may go on before the process is ended.
        start_timeout_s: how long the worker may take until it is ready; importing torch from a cold disk is slow.
        api_key: asked for the endpoint's key before each run, in the thread that runs; where it is empty the worker
            takes the one in its environment. The key is sent to the worker; here it is known during the run only, to
            keep it out of the log.
        proxies: asked for environment variables that the worker gets beside those of this process, before each run, in
            the thread that runs; where they have changed, the worker is started anew. They may hold a password.
    """

    def __init__(
        self,
        interpreter: Path,
        grace_s: float = 10.0,
        start_timeout_s: float = 120.0,
        api_key: Callable[[], str] = no_key,
        proxies: Callable[[], Mapping[str, str]] = no_proxies,
    ) -> None:
        self._interpreter, self._grace_s, self._start_timeout_s = interpreter, grace_s, start_timeout_s
        self._api_key, self._proxies = api_key, proxies
        self._proxies_of_worker: Mapping[str, str] = {}
        self._log = LogTail()
        self._turn = threading.Lock()  # held by the thread that runs
        self._state = threading.Lock()  # guards what follows, which `cancel` and `close` change from other threads
        self._process: LineProcess | None = None
        self._run_id = ""
        self._has_loaded = False  # whether the worker has imported its libraries
        self._cancelled = False
        self._closed = False

    @property
    def is_warm(self) -> bool:
        """Whether a worker process is there."""
        process = self._process
        return process is not None and process.is_alive

    def run(self, request: Request) -> Iterator[Event]:
        """Yield the events of a run; see `EngineClient.run`."""
        if not self._turn.acquire(blocking=False):
            yield BUSY
            return
        try:
            yield from self._run(request)
        except TextSegError as error:
            yield Failed(type(error).__name__, str(error), str(self._log))
        finally:
            self._turn.release()

    def cancel(self) -> None:
        """Stop the current run; after `grace_s` the worker is ended."""
        with self._state:
            if not self._run_id or self._cancelled:
                return
            self._cancelled = True
            process = self._process
        if process is not None:
            process.wake()

    def close(self) -> None:
        """Ask the worker to stop, end it where it does not, and wait until it is gone."""
        with self._state:
            self._closed = True
            process, self._process = self._process, None
        if process is None:
            return
        process.write(encode(Stop()))
        if not process.join(_STOP_GRACE_S):
            _end(process)

    def _run(self, request: Request) -> Iterator[Event]:
        key = Key(self._api_key())  # first: where it fails, a warm worker stays
        self._log.hide(key.value or key_from_environment())
        run_id = self._begin()
        has_ended = False
        try:
            process = self._ready_process()
            process.write(encode(key))
            process.write(encode(Run(run_id, request)))
            for event in self._follow(process, run_id):
                has_ended = isinstance(event, (Finished, Failed))
                yield event
        finally:
            self._run_id = ""
            self._log.hide("")
            if not has_ended:  # crashed, not stopped in time, or nobody listens any more
                self._drop_process()

    def _begin(self) -> str:
        with self._state:
            if self._closed:
                raise EngineUnavailable("The engine was closed with its window: open the window again.")
            self._cancelled = False
            self._run_id = uuid.uuid4().hex
            return self._run_id

    def _ready_process(self) -> LineProcess:
        proxies = self._proxies()
        if self._process is not None and self._process.is_alive and proxies == self._proxies_of_worker:
            self._process.forget_output()
            return self._process
        self._drop_process()
        self._log.clear()
        command = [str(self._interpreter), *_ARGUMENTS]
        environment = {**worker_environment(os.environ), **proxies}
        process = LineProcess(command, PACKAGE_FOLDER.parent, environment, self._log)
        with self._state:
            self._process, self._proxies_of_worker, self._has_loaded = process, proxies, False
        self._await_ready(process)
        return process

    def _await_ready(self, process: LineProcess) -> None:
        deadline_s = time.monotonic() + self._start_timeout_s
        while True:
            self._stop_if_cancelled()
            try:
                output = process.read(deadline_s)
            except queue.Empty:
                raise EngineUnavailable(
                    f"The engine was not ready {self._start_timeout_s:g} s after its start with "
                    f"{str(self._interpreter)!r}: run again, and look into the log if it happens once more."
                ) from None
            if isinstance(output, Ended):
                self._stop_if_cancelled()
                raise self._not_started(output)
            message = self._understand(output)
            if isinstance(message, Ready):
                _check_protocol(message)
                return

    def _follow(self, process: LineProcess, run_id: str) -> Iterator[Event]:
        deadline_s = None
        while True:
            if self._cancelled and deadline_s is None:
                process.write(encode(Cancel(run_id)))
                deadline_s = time.monotonic() + self._grace_s
            try:
                output = process.read(deadline_s)
            except queue.Empty:
                raise Cancelled(
                    f"The run was cancelled; the engine did not stop within {self._grace_s:g} s and was ended."
                ) from None
            if isinstance(output, Ended):
                self._stop_if_cancelled()
                raise EngineCrashed(_why_crashed(output)) if self._has_loaded else self._not_started(output)
            message = self._understand(output)
            self._has_loaded = self._has_loaded or isinstance(message, Loaded)
            if isinstance(message, RunEvent) and message.id == run_id:
                yield message.event
                if isinstance(message.event, (Finished, Failed)):
                    return

    def _stop_if_cancelled(self) -> None:
        if self._closed:
            raise Cancelled("The run was cancelled because the engine was closed.")
        if self._cancelled:
            raise Cancelled("The run was cancelled.")

    def _understand(self, output: Output) -> Message | None:
        """Return the message in a line; what is none (a library that prints) goes to the log."""
        if not isinstance(output, str):
            return None
        try:
            return decode(output)
        except WireError:
            self._log.append(output)
            return None

    def _not_started(self, ended: Ended) -> EngineUnavailable:
        words = ended.error if ended.code is None else str(self._log)
        return EngineUnavailable(why_not_started(words, ended.code, str(self._interpreter), _in_words(ended)))

    def _drop_process(self) -> None:
        with self._state:
            process, self._process = self._process, None
        if process is not None:
            _end(process)


def _end(process: LineProcess) -> None:
    process.kill()
    process.join(_KILL_GRACE_S)


def _check_protocol(ready: Ready) -> None:
    if ready.protocol != PROTOCOL:
        raise EngineUnavailable(
            f"The engine (version {ready.version}) speaks version {ready.protocol} of the protocol and the plugin "
            f"version {PROTOCOL}: update both, or let RS_TEXTSEG_ENGINE_PYTHON name the right interpreter."
        )


def _why_crashed(ended: Ended) -> str:
    return (
        f"The engine ended in the middle of the run ({_in_words(ended)}). Run again, it starts anew; if it happens "
        "once more, take smaller tiles, smaller models or the CPU, and look into the log for its last words."
    )


def _in_words(ended: Ended) -> str:
    code = ended.code or 0
    if code >= 2**31:  # Windows: an exception's number
        return f"exception {code:#010x}"
    if code >= 0:
        return f"exit code {code}"
    known = {member.value: member.name for member in signal.Signals}
    name = known.get(-code, f"signal {-code}")
    return f"{name}: often the system was out of memory" if name == "SIGKILL" else name
