"""The worker: requests in on stdin, events out on stdout, one JSON object a line."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from rs_textseg_plugin.contract.errors import TextSegError, WireError
from rs_textseg_plugin.contract.events import Event, Failed
from rs_textseg_plugin.contract.server.api_key import key_from_environment, without_key
from rs_textseg_plugin.contract.version import PROTOCOL, VERSION
from rs_textseg_plugin.contract.wire import Cancel, Key, Loaded, Message, Ready, Run, RunEvent, Stop, decode, encode

if TYPE_CHECKING:
    from rs_textseg_plugin.engine.service import Engine

# A tile in the models cannot be interrupted from here; when the plugin is gone nobody waits for it either.
_ORPHAN_GRACE_S = 20.0


@contextmanager
def private_stdout() -> Iterator[TextIO]:
    """Lend a stream to the real stdout; meanwhile whatever else writes to stdout lands on stderr.

    File descriptor 1 itself is redirected, so that a C library's prints cannot break the wire.
    """
    sys.stdout.flush()
    private = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    public = sys.stdout
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    try:
        yield private
    finally:
        sys.stdout = public
        os.dup2(private.fileno(), 1)
        with contextlib.suppress(OSError):  # nobody reads any more
            private.close()


@dataclass(frozen=True)
class Refused:
    """A run that cannot be read; its sender waits for an answer all the same."""

    id: str
    message: str


class Inbox:
    """Reads commands in a thread of its own, so that a cancel arrives while a run is busy."""

    def __init__(self, lines: TextIO) -> None:
        self._lines = lines
        self._orders: queue.Queue[Key | Run | Refused | None] = queue.Queue()
        self._cancelled: set[str] = set()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin reading."""
        threading.Thread(target=self._read, name="inbox", daemon=True).start()

    def next_order(self) -> Key | Run | Refused | None:
        """Wait for a key, a request, or a request that cannot be read; None when there will be no more."""
        return self._orders.get()

    def should_stop(self, run_id: str) -> bool:
        """Whether that run was cancelled, or the whole worker was told to stop."""
        return self._stopped.is_set() or run_id in self._cancelled

    def _refuse(self, line: str, error: WireError) -> None:
        print(error, file=sys.stderr, flush=True)
        run_id = _id_in(line)
        if run_id:
            self._orders.put(Refused(run_id, str(error)))

    def _read(self) -> None:
        for line in self._lines:
            try:
                message = decode(line)
            except WireError as error:
                self._refuse(line, error)
                continue
            if isinstance(message, (Key, Run)):
                self._orders.put(message)
            elif isinstance(message, Cancel):
                self._cancelled.add(message.id)
            elif isinstance(message, Stop):
                break
        self._stopped.set()
        self._orders.put(None)
        timer = threading.Timer(_ORPHAN_GRACE_S, os._exit, (1,))
        timer.daemon = True
        timer.start()


def _id_in(line: str) -> str:
    """Return the id of a run whose request cannot be read; empty where there is none."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return ""
    is_run = isinstance(data, dict) and data.get("type") == "run"
    return data["id"] if is_run and isinstance(data.get("id"), str) else ""


def serve() -> int:
    """Answer requests until told to stop or until stdin closes; return the exit status."""
    with private_stdout() as wire:
        # A damaged byte must be one bad line, not the end of the inbox, whatever the locale says.
        inbox = Inbox(open(0, encoding="utf-8", errors="replace", closefd=False))  # noqa: SIM115 (read to the end)
        inbox.start()
        _send(wire, Ready(PROTOCOL, VERSION, os.getpid()))
        # After Ready: importing torch takes seconds, and the plugin shows that the engine is alive.
        from rs_textseg_plugin.engine.service import Engine

        engine = Engine()
        _send(wire, Loaded())
        while (order := inbox.next_order()) is not None:
            if isinstance(order, Key):
                engine.api_key = order.value or key_from_environment()
            elif isinstance(order, Refused):
                _send(wire, RunEvent(order.id, Failed("WireError", order.message)))
            else:
                _answer(engine, order, inbox, wire)
    return 0


def _send(wire: TextIO, message: Message) -> None:
    wire.write(encode(message))
    wire.flush()


def _answer(engine: Engine, run: Run, inbox: Inbox, wire: TextIO) -> None:
    """Send every event of a run; an error is the last one."""

    def send(event: Event) -> None:
        _send(wire, RunEvent(run.id, event))

    try:
        for event in engine.run(run.request, lambda: inbox.should_stop(run.id)):
            send(event)
    except TextSegError as error:
        send(Failed(type(error).__name__, str(error)))
    except Exception as error:  # noqa: BLE001 (the worker loop: one of the three places that catch everything)
        message = f"The engine failed unexpectedly ({type(error).__name__}: {error}). The log holds the details."
        # What fails unexpectedly may quote anything, such as the headers of a request.
        words = (without_key(text, engine.api_key) for text in (message, traceback.format_exc()))
        send(Failed("EngineError", *words))
