"""What a server sent, read with distrust: many programs speak OpenAI's protocol, each a little differently."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rs_textseg_plugin.contract.errors import EngineError
from rs_textseg_plugin.engine.vlm.endpoint.errors import Server
from rs_textseg_plugin.engine.vlm.model import Reply


def read_reply(text: str, server: Server, shown_px: tuple[int, int]) -> Reply:
    """Read the body of a chat completion.

    Args:
        text: the body.
        server: for the words of errors.
        shown_px: handed on.

    Raises:
        EngineError: there is no answer in it.
    """
    data = _json_object(text, server)
    choice = _first_choice(data, server)
    message = _mapping(choice.get("message"))
    # Before anything is read of it: whatever becomes of an answer (labels, notes, files), no key is in it.
    words, refusal = server.without_secrets(_words(message.get("content"))), _refusal(choice, message)
    is_truncated = choice.get("finish_reason") == "length"
    if not (words.strip() or refusal or is_truncated):
        raise EngineError(
            f"{server.title} sent an empty answer: ask again, or take a model that looks at pictures and answers in "
            "text."
        )
    tokens_in, tokens_out = _tokens(data.get("usage"))
    return Reply("" if refusal else words, shown_px, tokens_in, tokens_out, is_truncated, server.clean(refusal))


def _json_object(text: str, server: Server) -> Mapping[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise EngineError(
            f"{server.title} sent an answer that is no JSON object: {server.clean(text) or 'nothing at all'!r}. Check "
            "that base_url is the address of an OpenAI-compatible server; it often ends in /v1."
        )
    return data


def _first_choice(data: Mapping[str, Any], server: Server) -> Mapping[str, Any]:
    choices = data.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return choices[0]
    words = server.words_of(data.get("error")) or "the reply has no choices"
    raise EngineError(f"{server.title} sent no answer: {words}. Ask again, or look into the server's log.")


def _words(content: object) -> str:
    """Return the text of a message, which some servers send in parts."""
    if isinstance(content, list):
        return "".join(_words(_mapping(part).get("text")) for part in content)
    return content if isinstance(content, str) else ""


def _refusal(choice: Mapping[str, Any], message: Mapping[str, Any]) -> str:
    if choice.get("finish_reason") == "content_filter":
        return "The server's content filter held the answer back."
    refusal = message.get("refusal")
    return refusal if isinstance(refusal, str) else ""


def _tokens(usage: object) -> tuple[int | None, int | None]:
    counts = _mapping(usage)
    found = (counts.get("prompt_tokens"), counts.get("completion_tokens"))
    first, second = (count if isinstance(count, int) and count >= 0 else None for count in found)
    return first, second


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
