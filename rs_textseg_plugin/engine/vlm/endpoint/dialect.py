"""What a server understands of OpenAI's chat completions; found out by asking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

Message = Mapping[str, Any]

_NOT_UNDERSTOOD = (400, 404, 422, 501)


@dataclass(frozen=True)
class Dialect:
    """How a request is worded. It begins with all that there is, and gets simpler with every refusal.

    Attributes:
        has_schemas: the answer's form is asked for with a JSON schema.
        has_temperature: the same question is to get the same answer; some models that reason refuse to be told.
        limit_name: what the limit of tokens is called; newer models of OpenAI know only the other name.
    """

    has_schemas: bool = True
    has_temperature: bool = True
    limit_name: str = "max_tokens"

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

        Args:
            status: the HTTP status.
            words: the server's words.
        """
        if status not in _NOT_UNDERSTOOD:
            return None
        if self.limit_name == "max_tokens" and "max_completion_tokens" in words:
            return replace(self, limit_name="max_completion_tokens")
        if self.has_temperature and "temperature" in words:
            return replace(self, has_temperature=False)
        return replace(self, has_schemas=False) if self.has_schemas else None

    def notes(self, title: str) -> tuple[str, ...]:
        """Return notes for the result on what was given up; `title` names the server."""
        unsaid = (
            (self.has_schemas, "takes no JSON schema: the form of the answer was asked for in words only."),
            (self.has_temperature, "takes no temperature: the same question may get another answer next time."),
        )
        return tuple(f"{title} {note}" for is_understood, note in unsaid if not is_understood)
