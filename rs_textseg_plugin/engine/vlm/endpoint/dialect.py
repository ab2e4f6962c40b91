"""What a server understands of OpenAI's chat completions; found out by asking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

Message = Mapping[str, Any]

_NOT_UNDERSTOOD = (400, 404, 422, 501)
_OF_LENGTH = ("too large", "context length", "too long")
_OF_SCHEMAS = ("response_format", "response format", "schema", "structured", "guided", "grammar")


@dataclass(frozen=True)
class Dialect:
    """How a request is worded. It begins with all that there is, and gets simpler with every refusal.

    Attributes:
        has_schemas: the answer's form is asked for with a JSON schema.
        has_temperature: the same question is to get the same answer; some models that reason refuse to be told.
        limit_name: what the limit of tokens is called; newer models of OpenAI know only the other name.
        words_on_schemas: what the server said when it was last asked with a schema; empty: it took it.
    """

    has_schemas: bool = True
    has_temperature: bool = True
    limit_name: str = "max_tokens"
    words_on_schemas: str = ""

    def body(self, model: str, messages: Sequence[Message], schema: Mapping[str, Any], limit: int) -> dict[str, Any]:
        """Return the request."""
        body: dict[str, Any] = {"model": model, "messages": messages, self.limit_name: limit}
        if self.has_temperature:
            body["temperature"] = 0
        if self.has_schemas and schema:
            form = {"name": "answer", "strict": True, "schema": dict(schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        return body

    def simpler(self, status: int, words: str) -> Dialect | None:
        """Return the dialect to try after a refusal; None: the refusal was about something else.

        A server that does not say what it does not understand is tried without the schema, which many do not. Whether
        that was it only the answer tells; where the server says so itself, see `is_about_schemas`.

        Args:
            status: the HTTP status.
            words: the server's words.
        """
        if status not in _NOT_UNDERSTOOD or any(term in words.lower() for term in _OF_LENGTH):
            return None
        if self.limit_name == "max_tokens" and "max_completion_tokens" in words:
            return replace(self, limit_name="max_completion_tokens")
        if self.has_temperature and "temperature" in words:
            return replace(self, has_temperature=False)
        return replace(self, has_schemas=False, words_on_schemas=words) if self.has_schemas else None

    def notes(self, title: str) -> tuple[str, ...]:
        """Return notes for the result on what was given up; `title` names the server."""
        refused = f"refused a question with a JSON schema ({self.words_on_schemas}) and answered it without"
        unsaid = (
            (self.has_schemas, f"{refused}: the form of the answer was asked for in words only."),
            (self.has_temperature, "takes no temperature: the same question may get another answer next time."),
        )
        return tuple(f"{title} {note}" for is_understood, note in unsaid if not is_understood)


def is_about_schemas(words: str) -> bool:
    """Whether a server's words on a refusal are about the form that was asked for."""
    return any(term in words.lower() for term in _OF_SCHEMAS)
