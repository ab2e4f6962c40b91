"""How a run on the command line is stopped: by Ctrl+C, by the system, or by a terminal that closes."""

from __future__ import annotations

import os
import signal
import socket
import threading

# A tile in the models cannot be stopped, and Python's handlers wait for it. Whoever sends SIGTERM does not.
_GRACE_S = 10.0
_EXIT_STATUS = 130
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def stop_on_signals(grace_s: float = _GRACE_S) -> threading.Event:
    """Return an event that the first signal sets.

    A second Ctrl+C ends the program at once. After SIGTERM and SIGHUP it ends within `grace_s` seconds, even inside
    native code; what it leaves in the scratch folder is removed by the next run.
    """
    stop = threading.Event()

    def interrupt(*_: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for number in _SIGNALS:
        signal.signal(number, interrupt)
    _watch(stop, grace_s)
    return stop


def _watch(stop: threading.Event, grace_s: float) -> None:
    """Have a thread told of signals at once; Python itself only hears of them between two of its own steps."""
    ours, systems = socket.socketpair()
    systems.setblocking(False)
    signal.set_wakeup_fd(systems.fileno(), warn_on_full_buffer=False)

    def wait() -> None:
        with systems:  # kept open as long as somebody listens
            while number := ours.recv(1):
                stop.set()
                if number[0] != signal.SIGINT:
                    threading.Event().wait(grace_s)
                    os._exit(_EXIT_STATUS)

    threading.Thread(target=wait, name="signals", daemon=True).start()
