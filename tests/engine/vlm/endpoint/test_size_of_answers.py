"""No answer, whatever its status and however it is packed, is larger in memory than its limit."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from controls import control
from endpoint_questions import ask, why_not
from openai_server import Answer, as_json, says

import rs_textseg_plugin
from rs_textseg_plugin.engine.vlm.endpoint.limits import MOST_BYTES
from rs_textseg_plugin.engine.vlm.model import Convention
from rs_textseg_plugin.engine.vlm.parsing.answer import read_answer

STAGED = Path(rs_textseg_plugin.__file__).parent.parent
HELPERS = str(Path(control.__code__.co_filename).parent)
SENTENCE = "sent more than 2 MB, many times the longest answer that can be asked for"
MOST_GROWTH_MB = 40  # of a process that is offered 300 MB

ASKING = f"""
import sys
sys.path[:0] = [{str(STAGED)!r}, {HELPERS!r}]
import resource
import numpy as np
from controls import control
from openai_server import OpenAiServer, says
from rs_textseg_plugin.contract.errors import EngineError
from rs_textseg_plugin.engine.vlm.endpoint.client import Endpoint
from rs_textseg_plugin.engine.vlm.model import ModelQuestion

def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

def ask(url):
    Endpoint(url, "m", "", tries=3).ask(np.zeros((8, 8, 3), np.uint8), ModelQuestion("", "?", {{}}), control())

with OpenAiServer(says("{{}}")) as server:
    ask(server.base_url)  # so that all is imported
for url in sys.argv[1:]:
    before_mb = peak_mb()
    try:
        ask(url)
    except EngineError as error:
        print(f"{{peak_mb() - before_mb:.0f}} {{error}}")
"""


class Flood:
    """A server that answers with chunks without end, up to 300 MB; it counts connections, and what it got rid of.

    Args:
        head: status line and headers.
        part: of the body, sent again and again.
    """

    def __init__(self, head: str, part: bytes) -> None:
        self._head, self._part = head, part
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.sent, self.connections = 0, 0
        self.was_left = threading.Event()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def __enter__(self) -> Flood:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                self._pour(connection)

    def _pour(self, connection: socket.socket) -> None:
        connection.recv(65536)
        chunk = f"{len(self._part):x}\r\n".encode() + self._part + b"\r\n"
        try:
            connection.sendall(f"HTTP/1.1 {self._head}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
            while self.sent < 300e6:
                connection.sendall(chunk)
                self.sent += len(chunk)
        except OSError:
            self.was_left.set()


def test_an_answer_without_end_is_cut_and_left_whatever_its_status_without_taking_memory():
    plain = b'{"a": "' + b"x" * 2**16
    with Flood("200 OK", plain) as answer, Flood("500 Oh", plain) as error, Flood("400 No", plain) as refusal:
        floods = [answer, error, refusal]
        command = [sys.executable, "-c", ASKING, *(flood.base_url for flood in floods)]
        asked = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        lines = asked.stdout.splitlines()
        assert len(lines) == 3, asked.stderr
        for flood, line in zip(floods, lines):
            growth_mb, _, said = line.partition(" ")
            assert SENTENCE in said
            assert float(growth_mb) < MOST_GROWTH_MB
            assert flood.was_left.wait(5)
            assert flood.sent < 60e6  # what the sockets hold is sent and not read
            assert flood.connections == 1  # it would be the same next time


def test_a_packed_answer_is_measured_as_it_is_when_unpacked(serve):
    body = gzip.compress(b" " * (MOST_BYTES + 1))
    assert len(body) < MOST_BYTES / 500
    for status in (200, 500):
        assert SENTENCE in why_not(serve(Answer(status, body, {"Content-Encoding": "gzip"})), tries=1)


def test_an_answer_that_is_packed_all_the_same_is_read(serve):
    packed = Answer(200, gzip.compress(says("{}").body), {"Content-Encoding": "gzip"})
    server = serve(packed)
    assert ask(server).text == "{}"
    assert server.received[0].headers["accept-encoding"] == "identity"


def test_an_answer_that_nobody_can_unpack_is_explained(serve):
    said = why_not(serve(Answer(200, b"???", {"Content-Encoding": "br"})), tries=1)
    assert "packs its answers in a way that was not asked for" in said


@pytest.mark.parametrize("spare", [0, -1])
def test_an_answer_is_taken_up_to_the_last_byte_of_the_limit(serve, spare):
    begin, end = json.dumps({"choices": [{"message": {"content": "@"}}]}).split("@")
    content = "x" * (MOST_BYTES - len(begin) - len(end) - spare)
    answer = Answer(200, f"{begin}{content}{end}".encode(), {"Content-Type": "application/json"})
    if spare < 0:
        assert SENTENCE in why_not(serve(answer), tries=1)
    else:
        assert ask(serve(answer)).text == content


def test_of_an_answer_with_more_things_than_can_be_asked_for_the_first_are_read_and_it_is_said():
    things = [{"label": str(i), "box": [i % 400, i // 400, i % 400 + 9, i // 400 + 9]} for i in range(3000)]
    answer = read_answer(json.dumps({"instances": things}), (512, 512), (512, 512), Convention.PIXELS)
    assert [thing.words for thing in answer.instances] == [str(i) for i in range(1000)]
    assert answer.remarks[0].startswith("The answer has 3000 instances, of which the first 1000 were read")
    exactly = read_answer(json.dumps({"instances": things[:1000]}), (512, 512), (512, 512), Convention.PIXELS)
    assert (len(exactly.instances), exactly.remarks) == (1000, ())


def test_an_answer_of_the_usual_size_is_read_whole(serve):
    assert ask(serve(as_json({"choices": [{"message": {"content": "y" * 300_000}}]}))).text == "y" * 300_000
