"""A real HTTP server on loopback that speaks OpenAI's chat completions and answers what a test tells it to.

::

    with OpenAiServer(says('{"instances": []}')) as server:
        ...  # base_url=server.base_url, model="scripted"
        assert server.received[0].picture.shape == (480, 640, 3)

Each step of the script answers one request; the last one answers all that follow. A step is a function from what was
received to how it is answered, so a test can write its own: ``lambda received: says(answer_for(received.picture))``.
Environment variables such as HTTP_PROXY are the business of the test.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import select
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


@dataclass(frozen=True)
class Received:
    """One request as it arrived.

    Attributes:
        path: with its query; with scheme and host where the server was asked as a proxy.
        headers: by their names in lower case.
        json: the body.
        raw: the body as bytes.
    """

    path: str
    headers: Mapping[str, str]
    json: dict[str, Any]
    raw: bytes = field(repr=False)

    @property
    def system(self) -> str:
        """What the model is told about its task."""
        return self.json["messages"][0]["content"]

    @property
    def question(self) -> str:
        """The words that come with the picture."""
        return next(part["text"] for part in self.json["messages"][-1]["content"] if part["type"] == "text")

    @property
    def picture_url(self) -> str:
        """The data URL."""
        parts = self.json["messages"][-1]["content"]
        (url,) = (part["image_url"]["url"] for part in parts if part["type"] == "image_url")
        return url

    @property
    def picture(self) -> NDArray[np.uint8]:
        """The picture that was sent, ``(H, W, 3)`` uint8."""
        with Image.open(io.BytesIO(base64.b64decode(self.picture_url.partition(",")[2]))) as image:
            return np.asarray(image)


@dataclass(frozen=True)
class Answer:
    """How a request is answered.

    Attributes:
        cut_at: bytes of the body after which the connection is closed; None: none is missing.
        drops: the connection is closed before the first byte.
        hangs: nothing is sent at all until the client goes away or the server is closed.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_at: int | None = None
    drops: bool = False
    hangs: bool = False


Step = Answer | Callable[[Received], "Answer | Step"]


def as_json(data: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Answer any JSON."""
    return Answer(status, json.dumps(data).encode(), {"Content-Type": "application/json", **(headers or {})})


def completion(message: Mapping[str, Any], finish: str = "stop", tokens: tuple[int, int] | None = (900, 60)) -> Answer:
    """Answer a chat completion with that message; tokens: in and out, None: no word of them."""
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", **message}}
    data: dict[str, Any] = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
    if tokens is not None:
        data["usage"] = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
    return as_json(data)


def says(text: str, tokens: tuple[int, int] | None = (900, 60)) -> Answer:
    """Answer with words."""
    return completion({"content": text}, tokens=tokens)


def cut_off(text: str) -> Answer:
    """Answer with words that reach the limit of tokens."""
    return completion({"content": text}, "length")


def refuses(words: str) -> Answer:
    """Decline, as models behind structured output do."""
    return completion({"content": None, "refusal": words})


def fails(status: int, words: str, code: str | None = None, param: str | None = None, **headers: str) -> Answer:
    """Answer an error in OpenAI's form; headers: Retry_After="1" becomes Retry-After."""
    error = {"message": words, "type": "error", "code": code, "param": param}
    return as_json({"error": error}, status, {name.replace("_", "-"): value for name, value in headers.items()})


def redirects(to: str, status: int = 307) -> Answer:
    """Send the client elsewhere."""
    return Answer(status, b"", {"Location": to})


def garbage(body: bytes, content_type: str = "application/json") -> Answer:
    """Answer bytes with status 200."""
    return Answer(200, body, {"Content-Type": content_type})


def hangs() -> Answer:
    """Say nothing and keep the connection."""
    return Answer(hangs=True)


def closes(after_bytes: int | None = None) -> Answer:
    """Close the connection: in the middle of a reply, after so many bytes of its body; None: before the first one."""
    whole = says("never read to its end " * 20)
    return Answer(drops=True) if after_bytes is None else replace(whole, cut_at=after_bytes)


def knows_no_schemas(then: Step, status: int = 400) -> Step:
    """Refuse requests that ask for structured output, and answer the others."""
    refusal = fails(status, "response_format is not supported")
    return lambda received: refusal if "response_format" in received.json else then


class OpenAiServer:
    """The server; a context manager.

    Args:
        script: the steps.
        certificate: PEM file with a certificate and its key; with it the server speaks TLS, for "localhost".

    Attributes:
        received: every request so far.
        connections: how many were opened so far.
        left: set when a client has closed its connection while it was kept waiting.
    """

    def __init__(self, *script: Step, certificate: Path | None = None) -> None:
        self.script = list(script)
        self.received: list[Received] = []
        self.connections = 0
        self.left = threading.Event()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._http = _Http(self)
        self._scheme_and_host = "http://127.0.0.1"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True, do_handshake_on_connect=False)
            self._scheme_and_host = "https://localhost"

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._http.server_address[1]

    @property
    def base_url(self) -> str:
        """What a client is given."""
        return f"{self._scheme_and_host}:{self.port}/v1"

    def answer_to(self, received: Received) -> Answer:
        """Keep a request, and return what the script says to it."""
        with self._lock:
            step = self.script[min(len(self.received), len(self.script) - 1)]
            self.received.append(received)
        while not isinstance(step, Answer):
            step = step(received)
        return step

    def wait_until_left(self, connection: socket.socket) -> None:
        """Wait until a client goes away, or the server is closed."""
        while not self._closing.is_set():
            readable, _, _ = select.select([connection], [], [], 0.02)
            if readable and not connection.recv(1):
                self.left.set()
                return

    def __enter__(self) -> OpenAiServer:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, owner: OpenAiServer) -> None:
        self.owner = owner
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.owner.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are what many tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        owner = self.server.owner
        answer = owner.answer_to(Received(self.path, headers, json.loads(raw), raw))
        if answer.hangs:
            owner.wait_until_left(self.connection)
        if answer.hangs or answer.drops:
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body[: answer.cut_at])
        self.close_connection = answer.cut_at is not None

    def do_CONNECT(self) -> None:
        self.send_error(403)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Dripping:
    """A server for one connection that begins a reply and then sends a byte every so many seconds; gives its port."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._closing = threading.Event()

    def __enter__(self) -> int:
        threading.Thread(target=self._serve, daemon=True).start()
        return self._listener.getsockname()[1]

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            while not self._closing.wait(self._every_s):
                connection.sendall(b" ")

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._listener.close()
