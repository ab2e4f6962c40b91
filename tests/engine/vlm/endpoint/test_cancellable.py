"""Whatever a server does, the user can stop waiting for it."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from controls import control
from endpoint_questions import ASKED, PICTURE, ask, endpoint_of, never
from openai_server import (
    Dripping,
    fails,
    hangs,
    says,
)

import rs_textseg_plugin
from rs_textseg_plugin.contract.errors import Cancelled, EngineError
from rs_textseg_plugin.engine.vlm.endpoint.client import Endpoint
from rs_textseg_plugin.engine.vlm.model import Reply

STAGED = Path(rs_textseg_plugin.__file__).parent.parent
HELPERS = str(Path(control.__code__.co_filename).parent)
SOON_S = 2.0


class Stop:
    """Says stop once something has happened, and remembers when it was asked and when it said so."""

    def __init__(self, when: Callable[[], object]) -> None:
        self._when = when
        self.asked_s: list[float] = []
        self.said_s = float("inf")

    def __call__(self) -> bool:
        self.asked_s.append(time.monotonic())
        if self._when():
            self.said_s = min(self.said_s, self.asked_s[-1])
        return self.said_s < float("inf")


def cancelled_after_s(endpoint: Endpoint, when: Callable[[], object]) -> float:
    """Ask, stop when told, and return how long it took from then until the caller was back."""
    stop = Stop(when)
    with pytest.raises(Cancelled, match="nothing was written"):
        endpoint.ask(PICTURE, ASKED, control(stop))
    return time.monotonic() - stop.said_s


def endpoint_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("rs-textseg-endpoint")]


def test_a_server_that_hangs_is_cancelled_at_once_with_its_connection(serve):
    server = serve(hangs())
    assert cancelled_after_s(endpoint_of(server), lambda: server.received) < SOON_S
    assert server.left.wait(SOON_S)
    assert endpoint_threads() == []


def test_a_server_that_sends_a_byte_now_and_then_is_cancelled_at_once():
    with Dripping(0.1) as port:
        begin_s = time.monotonic()
        endpoint = Endpoint(f"http://127.0.0.1:{port}", "m", "")
        assert cancelled_after_s(endpoint, lambda: time.monotonic() - begin_s > 1) < SOON_S
    assert endpoint_threads() == []


def test_a_connection_that_is_never_made_safe_is_cancelled_at_once():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        begin_s = time.monotonic()
        endpoint = Endpoint(f"https://127.0.0.1:{listener.getsockname()[1]}", "m", "")
        assert cancelled_after_s(endpoint, lambda: time.monotonic() - begin_s > 1) < SOON_S
    assert endpoint_threads() == []


def test_a_connection_that_is_not_made_in_time_is_explained():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = Endpoint(f"https://127.0.0.1:{listener.getsockname()[1]}", "m", "", timeout_s=0.5)
        with pytest.raises(EngineError, match=r"(was not reached|did not answer) within 0\.5 s"):
            endpoint.ask(PICTURE, ASKED, control())


@pytest.mark.parametrize("failure", [fails(429, "slow down", Retry_After="30"), fails(503, "busy", Retry_After="30")])
def test_waiting_for_the_next_attempt_is_cancelled_at_once_and_nothing_more_is_sent(serve, failure):
    server = serve(failure, says("{}"))
    assert cancelled_after_s(endpoint_of(server), lambda: server.received) < SOON_S
    assert endpoint_threads() == []
    time.sleep(0.3)
    assert len(server.received) == 1
    assert server.connections == 1


def test_nothing_is_sent_where_the_run_was_cancelled_before(serve):
    server = serve(says("{}"))
    assert cancelled_after_s(endpoint_of(server), lambda: True) < SOON_S
    assert server.connections == 0


def test_a_name_server_that_does_not_answer_keeps_neither_the_run_nor_the_process():
    code = f"""
import socket, sys, time
sys.path[:0] = [{str(STAGED)!r}, {HELPERS!r}]
import numpy as np
from controls import control
from rs_textseg_plugin.contract.errors import Cancelled
from rs_textseg_plugin.engine.vlm.endpoint.client import Endpoint
from rs_textseg_plugin.engine.vlm.model import ModelQuestion

asked = []
socket.getaddrinfo = lambda *_, **__: (asked.append(time.monotonic()), time.sleep(60))
try:
    endpoint = Endpoint("http://vlm.test/v1", "m", "")
    endpoint.ask(np.zeros((8, 8, 3), np.uint8), ModelQuestion("", "?", {{}}), control(lambda: asked))
except Cancelled:
    print(time.monotonic() - asked[0], flush=True)
"""
    start_s = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert float(ended.stdout) < SOON_S
    assert time.monotonic() - start_s < 40


def test_work_that_does_not_let_go_keeps_neither_the_run_nor_the_process():
    code = f"""
import sys, time
sys.path[:0] = [{str(STAGED)!r}, {HELPERS!r}]
from controls import control
from rs_textseg_plugin.contract.errors import Cancelled
from rs_textseg_plugin.engine.vlm.endpoint.cancellable import run_cancellable

async def stuck():
    begun.append(time.monotonic())
    time.sleep(60)

begun = []
try:
    run_cancellable(stuck, control(lambda: begun))
except Cancelled:
    print(time.monotonic() - begun[0], flush=True)
"""
    start_s = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert ended.returncode == 0, ended.stderr
    assert float(ended.stdout) < SOON_S
    assert time.monotonic() - start_s < 40


def test_the_caller_is_asked_at_least_twice_a_second_whether_to_stop(serve):
    endpoint, stop = endpoint_of(serve(hangs()), timeout_s=2.0), Stop(never)
    with pytest.raises(EngineError):
        endpoint.ask(PICTURE, ASKED, control(stop))
    assert len(stop.asked_s) >= 4
    assert np.diff(stop.asked_s).max() < 0.5


def test_an_answer_leaves_no_thread_behind(serve):
    ask(serve(says("{}")))
    assert endpoint_threads() == []


def test_a_question_can_be_asked_from_within_an_event_loop(serve):
    server = serve(says("{}"))

    async def main() -> Reply:
        return ask(server)

    assert asyncio.run(main()).text == "{}"


def test_an_error_of_the_caller_ends_the_connection_too(serve):
    server = serve(hangs())

    def stop() -> bool:
        if server.received:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        endpoint_of(server).ask(PICTURE, ASKED, control(stop))
    assert server.left.wait(SOON_S)
