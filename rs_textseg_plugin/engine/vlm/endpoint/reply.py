"""What a server sent, read with distrust: many programs speak OpenAI's protocol, each a little differently."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rs_textseg_plugin.contract.errors import EngineError
from rs_textseg_plugin.engine.vlm.endpoint.errors import Server
from rs_textseg_plugin.engine.vlm.model import Reply

_REASONING = ("reasoning_content", "reasoning")  # members of a message, as servers call them


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
        raise _empty(message, server)
    tokens_in, tokens_out, hidden = _tokens(data.get("usage"))
    if is_truncated and _is_only_thought(words):
        words, hidden = "", hidden or tokens_out
    text = "" if refusal else words
    return Reply(text, shown_px, tokens_in, tokens_out, is_truncated, server.clean(refusal), hidden)


def has_no_room(reply: Reply) -> bool:
    """Whether all tokens of an answer were used up before it began."""
    return reply.is_truncated and not reply.text.strip() and not reply.refusal


def _empty(message: Mapping[str, Any], server: Server) -> EngineError:
    if any(_words(message.get(name)).strip() for name in _REASONING):
        return EngineError(
            f"{server.title} sent its reasoning and no answer: ask again, raise max_tokens, or turn the model's "
            "reasoning off."
        )
    return EngineError(
        f"{server.title} sent an empty answer: ask again, or take a model that looks at pictures and answers in text."
    )


def _is_only_thought(words: str) -> bool:
    """Whether a text begins with a thought that does not end."""
    text = words.strip().lower()
    return text.startswith("<think") and "</think" not in text


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


def _tokens(usage: object) -> tuple[int | None, int | None, int | None]:
    """Return tokens in and out, and those of hidden reasoning, which some servers count in their sum alone.

    The latter: Gemini's own service, see GitHub Portkey-AI/gateway, pull request 1458, and router-for-me/CLIProxyAPI,
    pull request 5744.
    """
    counts = _mapping(usage)
    tokens_in, tokens_out = _count(counts.get("prompt_tokens")), _count(counts.get("completion_tokens"))
    hidden = _count(_mapping(counts.get("completion_tokens_details")).get("reasoning_tokens"))
    unnamed = (_count(counts.get("total_tokens")) or 0) - (tokens_in or 0) - (tokens_out or 0)
    are_all_named = tokens_in is None or tokens_out is None or unnamed <= 0
    return tokens_in, tokens_out, hidden or (None if are_all_named else unnamed)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
