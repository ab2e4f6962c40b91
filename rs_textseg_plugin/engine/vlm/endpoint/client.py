"""A vision-language model behind a server that speaks OpenAI's chat completions: a hosted one, or the user's own."""

from __future__ import annotations

import asyncio
import base64
import io
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rs_textseg_plugin.contract.errors import EngineError, RecipeError
from rs_textseg_plugin.contract.server.api_key import checked_key
from rs_textseg_plugin.contract.server.server_address import can_be_overheard, parse_address
from rs_textseg_plugin.engine.compute.run_control import RunControl
from rs_textseg_plugin.engine.vlm.endpoint.cancellable import run_cancellable
from rs_textseg_plugin.engine.vlm.endpoint.dialect import Dialect, Message, is_about_schemas
from rs_textseg_plugin.engine.vlm.endpoint.errors import (
    Server,
    explain_connection,
    explain_proxy,
    explain_status,
    key_in_plain_text,
    no_room,
    not_reached,
    on_more_room,
    timed_out,
)
from rs_textseg_plugin.engine.vlm.endpoint.limits import MOST_TOKENS, TooLarge, UnknownCoding
from rs_textseg_plugin.engine.vlm.endpoint.patience import wait_after_break_s, wait_after_status_s
from rs_textseg_plugin.engine.vlm.endpoint.reply import has_no_room, read_reply
from rs_textseg_plugin.engine.vlm.endpoint.route import find_route
from rs_textseg_plugin.engine.vlm.families import estimate_picture_tokens, known_convention, shown_size_px
from rs_textseg_plugin.engine.vlm.model import Convention, Decider, ModelQuestion, Reply

if TYPE_CHECKING:
    import openai
    import torch

_CONNECT_S = 15.0
_MORE_ROOM = 4  # times the limit of tokens, where reasoning left none for the answer
_OVERHEARD = (
    "The pictures, the question and the key went over http without encryption: others on the way could read them."
)
_FILTERED = ("content_filter", "content_policy_violation")
_TALKATIVE = ("openai", "httpx2", "httpcore2", "httpx", "httpcore")


@dataclass(frozen=True)
class _Sent:
    """A question as it is sent, and the size of its picture as the model sees it."""

    messages: Sequence[Message]
    schema: Mapping[str, Any]
    shown_px: tuple[int, int]


class Endpoint:
    """A `VisionModel` behind a server.

    Pictures leave this machine: whoever makes one has asked the user. Nothing is kept between two questions but what
    the server turned out not to understand; each has a connection of its own. Proxies are taken from the environment
    (HTTPS_PROXY, NO_PROXY and so on; see `find_route`), and trusted certificates from the system or SSL_CERT_FILE.

    Args:
        base_url: the address that ``/chat/completions`` is added to; http or https.
        model: the model's name, as the server calls it.
        key: sent in the header Authorization and nowhere else; empty: no such header is sent.
        timeout_s: how long an answer may take, from the first byte sent to the last one received.
        tries: how often a question is asked that got no answer for a reason that may pass.
        convention: what the model's numbers mean; None: as its name says, and pixels where that says nothing.
        max_tokens: longest answer; what comes after is cut off. A question whose answer did not begin within it is
            asked once more with four times as many.
        allow_plain_http: whether the key may go to another machine without encryption.

    Raises:
        InputError: the address, the name or the key cannot be used, or the key would go where others can read it.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        key: str,
        timeout_s: float = 120.0,
        tries: int = 3,
        convention: Convention | None = None,
        max_tokens: int = 4096,
        allow_plain_http: bool = False,
    ) -> None:
        address = parse_address(base_url)
        self._route = find_route(address.base_url)
        self._server = Server(address, _checked_name(model), checked_key(key), self._route.proxy_host)
        if self._server.key and can_be_overheard(address.base_url) and not allow_plain_http:
            raise key_in_plain_text(self._server)
        self._timeout_s, self._tries, self._max_tokens = timeout_s, tries, max_tokens
        known = known_convention(model)
        self._convention = convention or known or Convention.PIXELS
        self._decider = Decider.USER if convention else Decider.FAMILY if known else Decider.NOBODY
        self._dialect = Dialect()
        self._on_room = ""

    @property
    def name(self) -> str:
        """The model and its server's address, without anything secret."""
        return f"{self._server.model} at {self._server.address.base_url}"

    @property
    def convention(self) -> Convention:
        """What its numbers mean."""
        return self._convention

    @property
    def decider(self) -> Decider:
        """Who says so."""
        return self._decider

    @property
    def way(self) -> str:
        """What pictures do on their way to it, through which proxy they go included; without anything secret."""
        return self._route.words

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the result: that others could listen, what the server did not understand, and its reasoning."""
        overheard = (_OVERHEARD,) if can_be_overheard(self._server.address.base_url) else ()
        return (*overheard, *self._dialect.notes(self._server.title), *filter(None, [self._on_room]))

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Stay where it is."""

    def shown_size(self, width_px: int, height_px: int) -> tuple[int, int]:
        """Return the size that the model's pixels refer to; see `shown_size_px`."""
        return shown_size_px(self._server.model, width_px, height_px)

    def estimate_s(self, width_px: int, height_px: int, new_tokens: int) -> float | None:
        """Return None: how fast a server is, only the server knows."""

    def tokens_of(self, width_px: int, height_px: int) -> int:
        """Return about how many tokens a picture costs; see `estimate_picture_tokens`."""
        return estimate_picture_tokens(self._server.model, width_px, height_px)

    def ask(self, picture: NDArray[np.uint8], asked: ModelQuestion, control: RunControl) -> Reply:
        """Send a picture ``(H, W, 3)`` uint8 as PNG, with the question, and wait for the answer.

        Raises:
            Cancelled: the user has given up, which is looked for ten times a second. The connection was closed.
            EngineError: there is no answer; in words.
        """
        height_px, width_px = picture.shape[:2]
        shown_px = self.shown_size(width_px, height_px)
        messages = _messages(picture, asked)
        return run_cancellable(lambda: self._answer(_Sent(messages, asked.schema, shown_px)), control)

    async def _answer(self, sent: _Sent) -> Reply:
        """Ask, and once more with a higher limit of tokens where reasoning left none for the answer."""
        async with self._client(_import_openai()) as client:
            limit = self._max_tokens
            reply = await self._ask_simply(client, sent, limit)
            if not has_no_room(reply):
                return reply
            more = min(_MORE_ROOM * limit, MOST_TOKENS)
            if more <= limit:
                raise no_room(self._server, reply, limit)
            try:
                second = await self._ask_simply(client, sent, more)
            except EngineError as error:
                raise no_room(self._server, reply, limit, f"It was asked again with {more}. {error}") from None
            if has_no_room(second):
                raise no_room(self._server, second, more)
            self._max_tokens, self._on_room = more, on_more_room(self._server, reply, limit, more)
            return _with_tokens_of(second, reply)

    async def _ask_simply(self, client: openai.AsyncOpenAI, sent: _Sent, limit: int) -> Reply:
        """Ask, in simpler and simpler words until the server understands."""
        openai = _import_openai()
        dialect = self._dialect
        guess: tuple[int, EngineError] | None = None  # a refusal that did not say what was not understood
        while True:
            body = dialect.body(self._server.model, sent.messages, sent.schema, limit)
            try:
                text = await self._ask_patiently(client, body)
            except openai.APIStatusError as error:
                # Never "from error": it holds the request, and with it the key and the picture.
                words = self._words_of_server(error)
                if error.code in _FILTERED:
                    return Reply("", sent.shown_px, refusal=f"The server's content filter: {words}.")
                simpler = dialect.simpler(error.status_code, words)
                why = explain_status(error, self._server)
                if simpler is None:
                    raise (guess[1] if guess and guess[0] == error.status_code else why) from None
                if simpler.has_schemas < dialect.has_schemas and not is_about_schemas(words):
                    guess = error.status_code, why
                dialect = simpler
            else:
                self._dialect = dialect
                return read_reply(text, self._server, sent.shown_px)

    def _words_of_server(self, error: openai.APIStatusError) -> str:
        return self._server.words_of(error.body) or f"status {error.status_code}"

    async def _ask_patiently(self, client: openai.AsyncOpenAI, body: dict[str, Any]) -> str:
        """Ask, again where the reason may pass; return the body of the answer."""
        openai = _import_openai()
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._ask_once(client, body)
            except openai.APITimeoutError:
                raise not_reached(self._server, self._connect_s) from None
            except (TooLarge, UnknownCoding) as error:  # of an answer with the status of an error
                raise explain_connection(error, self._server) from None
            except openai.APIConnectionError as error:
                wait_s = wait_after_break_s(error, attempt)
                if wait_s is None or attempt >= self._tries:
                    raise explain_connection(error, self._server) from None
            except openai.APIStatusError as error:
                wait_s = wait_after_status_s(error, attempt)
                if wait_s is None or attempt >= self._tries:
                    raise
            await asyncio.sleep(wait_s)

    async def _ask_once(self, client: openai.AsyncOpenAI, body: dict[str, Any]) -> str:
        openai = _import_openai()
        # Without a key the client would send an empty one, which is no header that a server could read.
        headers = {} if self._server.key else {"Authorization": openai.omit}
        request = client.chat.completions.with_raw_response.create(**body, extra_headers=headers)
        try:
            response = await asyncio.wait_for(request, self._timeout_s)
        except asyncio.TimeoutError:
            raise timed_out(self._server, self._timeout_s) from None
        return response.text

    @property
    def _connect_s(self) -> float:
        return min(_CONNECT_S, self._timeout_s)

    def _client(self, package: ModuleType) -> openai.AsyncOpenAI:
        """Return a client that sends what it is told to the address that it was given, and nothing else anywhere."""
        address = self._server.address
        timeout = package.Timeout(None, connect=self._connect_s)
        from rs_textseg_plugin.engine.vlm.endpoint.transport import LimitedTransport

        try:
            transport = LimitedTransport(self._route)  # which also keeps the client from asking for other proxies
            http_client = package.DefaultAsyncHttpxClient(transport=transport, follow_redirects=False, timeout=timeout)
        except (ImportError, ValueError) as error:
            raise explain_proxy(error) from None
        client = package.AsyncOpenAI(
            api_key=self._server.key or "none",
            base_url=address.base_url,
            default_query=dict(address.query),
            timeout=timeout,
            max_retries=0,
            http_client=http_client,
        )
        client.organization = client.project = None  # the environment's are meant for OpenAI's own server
        return client


def _with_tokens_of(reply: Reply, earlier: Reply) -> Reply:
    """Return a reply that also counts what an earlier one to the same question cost."""
    counts = ((earlier.tokens_in, reply.tokens_in), (earlier.tokens_out, reply.tokens_out))
    tokens_in, tokens_out = (None if both == (None, None) else sum(count or 0 for count in both) for both in counts)
    return replace(reply, tokens_in=tokens_in, tokens_out=tokens_out)


def _checked_name(model: str) -> str:
    if not model.strip():
        raise RecipeError(
            "base_url names a server, and model= is empty: give the name of the model as the server calls it."
        )
    return model.strip()


def _messages(picture: NDArray[np.uint8], asked: ModelQuestion) -> list[Message]:
    parts = [
        {"type": "image_url", "image_url": {"url": _png_url(picture)}},
        {"type": "text", "text": asked.question},
    ]
    return [{"role": "system", "content": asked.system}, {"role": "user", "content": parts}]


def _png_url(picture: NDArray[np.uint8]) -> str:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "png")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _import_openai() -> ModuleType:
    """Import the client; the rest of the engine runs without it.

    Raises:
        EngineError: it is not installed, with the command that installs it.
    """
    try:
        import openai
    except ImportError as error:
        raise EngineError(
            f"The engine's Python lacks a package to speak with a server ({error.name}). "
            f'Install it with:\n"{sys.executable}" -m pip install "openai>=3.0,<4"'
        ) from error
    for name in _TALKATIVE:  # they can be made to log whole requests
        logging.getLogger(name).setLevel(logging.WARNING)
    return openai
