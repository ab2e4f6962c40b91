"""The worker: requests in on stdin, events out on stdout, one JSON object a line."""

from __future__ import annotations

import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable
from typing import TextIO

from rs_textseg_plugin.contract.errors import TextSegError, WireError
from rs_textseg_plugin.contract.events import Event, Failed
from rs_textseg_plugin.contract.version import PROTOCOL, VERSION
from rs_textseg_plugin.contract.wire import Cancel, Ready, Run, RunEvent, Stop, decode, encode

# A tile in the models cannot be interrupted from here; when the plugin is gone nobody waits for it either.
_ORPHAN_GRACE_S = 20.0


def private_stdout() -> TextIO:
    """Return a stream to the real stdout, and send whatever else writes to stdout to stderr instead.

    File descriptor 1 itself is redirected, so that a C library's prints cannot break the wire.
    """
    sys.stdout.flush()
    private = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return private


class Inbox:
    """Reads commands in a thread of its own, so that a cancel arrives while a run is busy."""

    def __init__(self, lines: TextIO) -> None:
        self._lines = lines
        self._runs: queue.Queue[Run | None] = queue.Queue()
        self._cancelled: set[str] = set()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin reading."""
        threading.Thread(target=self._read, name="inbox", daemon=True).start()

    def next_run(self) -> Run | None:
        """Wait for a request; None when there will be no more."""
        return self._runs.get()

    def should_stop(self, run_id: str) -> bool:
        """Whether that run was cancelled, or the whole worker was told to stop."""
        return self._stopped.is_set() or run_id in self._cancelled

    def _read(self) -> None:
        for line in self._lines:
            try:
                message = decode(line)
            except WireError as error:
                print(error, file=sys.stderr, flush=True)
                continue
            if isinstance(message, Run):
                self._runs.put(message)
            elif isinstance(message, Cancel):
                self._cancelled.add(message.id)
            elif isinstance(message, Stop):
                break
        self._stopped.set()
        self._runs.put(None)
        timer = threading.Timer(_ORPHAN_GRACE_S, os._exit, (1,))
        timer.daemon = True
        timer.start()


def serve() -> int:
    """Answer requests until told to stop or until stdin closes; return the exit status."""
    wire = private_stdout()
    inbox = Inbox(sys.stdin)
    inbox.start()
    wire.write(encode(Ready(PROTOCOL, VERSION, os.getpid())))
    wire.flush()
    # After Ready: importing torch takes seconds, and the plugin shows that the engine is alive.
    from rs_textseg_plugin.engine.service import Engine

    engine = Engine()
    while (run := inbox.next_run()) is not None:
        _answer(engine, run, inbox, lambda event, run=run: _send(wire, RunEvent(run.id, event)))  # type: ignore[misc]
    return 0


def _send(wire: TextIO, message: RunEvent) -> None:
    wire.write(encode(message))
    wire.flush()


def _answer(engine: object, run: Run, inbox: Inbox, send: Callable[[Event], None]) -> None:
    """Send every event of a run; an error is the last one."""
    try:
        for event in engine.run(run.request, lambda: inbox.should_stop(run.id)):  # type: ignore[attr-defined]
            send(event)
    except TextSegError as error:
        send(Failed(type(error).__name__, str(error)))
    except Exception as error:  # noqa: BLE001 (the worker loop: one of the three places that catch everything)
        send(unexpected(error))


def unexpected(error: Exception) -> Failed:
    """Return the event for an error that nobody foresaw, with its traceback."""
    message = f"The engine failed unexpectedly ({type(error).__name__}: {error}). The log holds the details."
    return Failed("EngineError", message, traceback.format_exc())
