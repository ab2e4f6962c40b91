"""What can go wrong between this machine and a server, in words; never the key, never the picture."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from rs_textseg_plugin.contract.errors import EngineError, RecipeError
from rs_textseg_plugin.contract.server.api_key import VARIABLE, without_key
from rs_textseg_plugin.contract.server.server_address import ServerAddress, shown_url
from rs_textseg_plugin.engine.vlm.endpoint.limits import MOST_BYTES, TooLarge, UnknownCoding
from rs_textseg_plugin.engine.vlm.model import Reply

if TYPE_CHECKING:
    import openai

CHAT_PATH = "/chat/completions"
_LONGEST_WORDS = 240
_SHORTEST_SECRET_IN_ADDRESS = 8  # what is shorter is a choice or a number rather than a code
_PICTURE = re.compile(r"[A-Za-z0-9+/=_:;,%-]{100,}")  # some servers send back all that they were sent


@dataclass(frozen=True)
class Server:
    """A server and the model asked of it, as errors name them."""

    address: ServerAddress
    model: str
    key: str = field(repr=False)
    proxy_host: str = ""

    @property
    def title(self) -> str:
        """How a sentence about it begins."""
        return f"The server {self.address.base_url} (model {self.model})"

    def without_secrets(self, text: str) -> str:
        """Return a text of the server without the key, and without what the query of its address holds."""
        for name, value in self.address.query:
            if len(value) >= _SHORTEST_SECRET_IN_ADDRESS and "version" not in name.lower():
                text = without_key(text, value)
        return without_key(text, self.key)

    def clean(self, text: str) -> str:
        """Return a server's words, short, on one line, and without secrets and the picture."""
        text = _PICTURE.sub("...", self.without_secrets(text))
        text = " ".join(re.sub(r"<[^>]*>|[\x00-\x1f\x7f]", " ", text).split())
        return text if len(text) <= _LONGEST_WORDS else f"{text[:_LONGEST_WORDS]}..."

    def words_of(self, body: object) -> str:
        """Return the words in an error's body: OpenAI's form, FastAPI's, or plain text; empty: nothing readable."""
        found = body
        for name in ("error", "message", "detail", "msg"):
            found = found[0] if isinstance(found, list) and found else found
            found = found.get(name, found) if isinstance(found, dict) else found
        return self.clean(found).rstrip(".") if isinstance(found, str) else ""


def explain_status(error: openai.APIStatusError, server: Server) -> EngineError:
    """Return the error for an HTTP status that is no success: its meaning, and what to do."""
    status, words = error.status_code, server.words_of(error.body)
    because = f" ({status}: {words})" if words else f" ({status})"
    if 300 <= status < 400:
        return _redirected(error, server)
    if status == 401:  # some servers send back a part of the key
        return EngineError(f"{server.title} does not accept the key (401): check {_where_the_key_is(server)}.")
    if status == 429:
        return _too_much(error, server, because)
    advice = _ADVICE.get(status, _BUSY if status >= 500 else _REFUSED)
    return EngineError(f"{server.title} {advice[0]}{because}: {advice[1].format(key=_where_the_key_is(server))}.")


_BUSY = ("failed", "try again later, or look into the server's log")
_REFUSED = ("refused the request", "check that the model looks at pictures, and take smaller views or max_tokens")
_ADVICE = {
    402: ("wants to be paid first", "look into the account that the key belongs to"),
    403: ("does not let the key in", "check {key}, and that it may use this model"),
    404: (
        "does not know the model or the address",
        "check the model's name, and that base_url ends where /chat/completions begins, often in /v1",
    ),
    405: ("has no chat completions at this address", "check base_url, which often ends in /v1"),
    407: (
        "is reached through a proxy that wants a user and a password",
        "put both into the address of the proxy, before its host",
    ),
    413: ("takes no picture of this size", "take smaller views (view_px or tile_px)"),
}


def _where_the_key_is(server: Server) -> str:
    is_there = "the key in" if server.key else "that a key is given: none was. It belongs in"
    return f"{is_there} the environment variable {VARIABLE} or QGIS's authentication store"


def _too_much(error: openai.APIStatusError, server: Server, because: str) -> EngineError:
    if error.code in NOT_SOON:
        return EngineError(f"{server.title} has used up its quota{because}: look into the account of the key.")
    wait_s = error.response.headers.get("retry-after", "")
    when = f"in {wait_s} s" if wait_s.isdigit() else "later"
    return EngineError(f"{server.title} is asked too often{because}: try again {when}, or with fewer or larger views.")


NOT_SOON = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")


def _redirected(error: openai.APIStatusError, server: Server) -> EngineError:
    location = error.response.headers.get("location", "")
    target = shown_url(urljoin(server.address.base_url + CHAT_PATH, location)).removesuffix(CHAT_PATH)
    target = server.without_secrets(target)
    return EngineError(
        f"{server.title} sends on to {target} ({error.status_code}), which was not followed: neither the picture nor "
        "the key goes where nobody agreed to. If that is the right address, give it as base_url."
    )


def explain_connection(error: Exception, server: Server) -> EngineError:
    """Return why no connection came about, or why it ended; the text of the error itself is not shown."""
    for cause in causes(error):
        if isinstance(cause, TooLarge):
            return _too_large(server)
        if isinstance(cause, UnknownCoding):
            return EngineError(
                f"{server.title} packs its answers in a way that was not asked for (Content-Encoding): let it send "
                "them as they are, or with gzip."
            )
        if server.proxy_host and isinstance(cause, (socket.gaierror, ConnectionRefusedError)):
            return _no_proxy_there(server, cause)
        if isinstance(cause, ssl.SSLError):
            return EngineError(f"{server.title} has no safe connection ({_tls_words(cause)}): {_tls_advice(cause)}.")
        if isinstance(cause, socket.gaierror):
            return EngineError(
                f"{server.title} was not found: no address is known for {server.address.host} "
                f"({cause.strerror}). Check base_url and the network."
            )
        if isinstance(cause, ConnectionRefusedError):
            return EngineError(
                f"{server.title} does not answer: the connection was refused. Start the server, or check base_url."
            )
    return EngineError(
        f"The connection to {_in_a_sentence(server)} broke ({type(_innermost(error)).__name__}): check the network, "
        "its proxy and the server, and try again."
    )


def _too_large(server: Server) -> EngineError:
    return EngineError(
        f"{server.title} sent more than {MOST_BYTES / 1e6:g} MB, many times the longest answer that can be asked for: "
        "nothing of it was used, and the connection was closed. Check base_url, and what answers there."
    )


def _no_proxy_there(server: Server, cause: OSError) -> EngineError:
    return EngineError(
        f"The proxy {server.proxy_host}, through which {_in_a_sentence(server)} is reached, does not answer "
        f"({cause.strerror}): check HTTPS_PROXY and HTTP_PROXY in the environment or the proxy in QGIS's options, or "
        "let NO_PROXY name the server."
    )


def key_in_plain_text(server: Server) -> RecipeError:
    """Return the words for a key that would go to another machine over plain http."""
    return RecipeError(
        f"Nothing was sent: the key would go to {server.address.base_url} over http without encryption, where others "
        "on the way can read it. Give an address that begins with https://, leave the key out, or allow exactly this "
        "with allow_plain_http=true."
    )


def _in_a_sentence(server: Server) -> str:
    return server.title[0].lower() + server.title[1:]


def _tls_words(error: ssl.SSLError) -> str:
    return str(getattr(error, "verify_message", "") or error.reason or "TLS failed").replace("_", " ").lower()


def _tls_advice(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            "let this system trust the server's certificate, or let the environment variable SSL_CERT_FILE name a file "
            "with it"
        )
    return "if the server speaks plain HTTP, write http:// in base_url"


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, and all that it came from."""
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        found = waiting.pop(0)
        if found is None or found in seen:
            continue
        seen.append(found)
        yield found
        waiting += [found.__cause__, found.__context__, *_members(found)]


def _members(error: BaseException) -> tuple[BaseException, ...]:
    """Return the errors in a group: one for each address of a host."""
    members: Any = getattr(error, "exceptions", ())
    return tuple(members)


def _innermost(error: Exception) -> BaseException:
    cause = error.__cause__
    return error if cause is None else cause


def timed_out(server: Server, timeout_s: float) -> EngineError:
    """Return the words for an answer that did not come in time."""
    return EngineError(
        f"{server.title} did not answer within {timeout_s:g} s: raise timeout_s, or take a faster model."
    )


def not_reached(server: Server, timeout_s: float) -> EngineError:
    """Return the words for a connection that did not come about in time."""
    return EngineError(
        f"{server.title} was not reached within {timeout_s:g} s: check base_url, the network and its proxy."
    )


def no_room(server: Server, reply: Reply, limit: int, more: str = "") -> EngineError:
    """Return the words for tokens that were used up before the answer began.

    Args:
        server: that was asked.
        reply: without an answer.
        limit: of tokens.
        more: what came of asking again.
    """
    return EngineError(
        f"{server.title} used all {limit} tokens before its answer began{_on_reasoning(reply)}: set max_tokens higher "
        f"than {limit}, or let the model reason less.{more and ' '}{more}"
    )


def on_more_room(server: Server, reply: Reply, limit: int, more: int) -> str:
    """Return the sentence for the result on a question that was asked again with `more` tokens than `limit`."""
    return (
        f"{server.title} used all {limit} tokens before its answer began{_on_reasoning(reply)}, so it was asked again "
        f"with {more}: max_tokens={more} saves the first question."
    )


def _on_reasoning(reply: Reply) -> str:
    return f", {reply.hidden_tokens} of them for reasoning that it does not show" if reply.hidden_tokens else ""


def explain_proxy(error: Exception) -> EngineError:
    """Return the words for proxy settings that no client can be made with; they may hold a password."""
    return EngineError(
        f"The proxy in the environment (HTTP_PROXY, HTTPS_PROXY or ALL_PROXY) cannot be used ({type(error).__name__}): "
        "give one that begins with http:// or https://, or let NO_PROXY name the server."
    )
