"""One message, one line of JSON.

To the engine: ``key`` (value) for the runs that follow, ``run`` (id, request), ``cancel`` (id), ``stop``. From the
engine: ``ready`` once after the start, then one message per event, each with the id of its run.
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass, field
from typing import Any, Callable, Union

from rs_textseg_plugin.contract.errors import WireError
from rs_textseg_plugin.contract.events import Event, Failed, Finished, Found, Progress, Warned
from rs_textseg_plugin.contract.request import Request


@dataclass(frozen=True)
class Ready:
    """The engine's first words."""

    protocol: int
    version: str
    pid: int


@dataclass(frozen=True)
class Key:
    """The key for the endpoint of the runs that follow; empty: none was given. No repr and no error shows it."""

    value: str = field(repr=False)


@dataclass(frozen=True)
class Run:
    """Start a run."""

    id: str
    request: Request


@dataclass(frozen=True)
class Cancel:
    """Stop the run of that id at the next opportunity."""

    id: str


@dataclass(frozen=True)
class Stop:
    """End the engine's process after the current run was cancelled."""


@dataclass(frozen=True)
class RunEvent:
    """An event of the run of that id."""

    id: str
    event: Event


Message = Union[Ready, Key, Run, Cancel, Stop, RunEvent]

_ABOUT_A_KEY = re.compile(r"\bkey\b")

_EVENTS: dict[str, Callable[[dict[str, Any]], Event]] = {
    "progress": lambda data: Progress(**data),
    "found": lambda data: Found(**data),
    "warned": lambda data: Warned(**data),
    "finished": Finished.from_json,
    "failed": lambda data: Failed(**data),
}


def encode(message: Message) -> str:
    """Return the message as one line of JSON, with its newline."""
    if isinstance(message, RunEvent):
        data = {"type": type(message.event).__name__.lower(), "id": message.id, **dataclasses.asdict(message.event)}
    else:
        data = {"type": type(message).__name__.lower(), **dataclasses.asdict(message)}
    return json.dumps(data, ensure_ascii=True, separators=(",", ":")) + "\n"


def decode(line: str) -> Message:
    """Read one line.

    Raises:
        WireError: it is no JSON object, of no known type, or lacks a field.
    """
    try:
        data = json.loads(line)
        kind = data.pop("type")
        if kind in _EVENTS:
            return RunEvent(_text(data.pop("id")), _EVENTS[kind](data))
        if kind == "key":
            return Key(_key(data["value"]))
        if kind == "run":
            return Run(_text(data["id"]), Request.from_json(data["request"]))
        if kind == "cancel":
            return Cancel(_text(data["id"]))
        if kind == "stop":
            return Stop()
        if kind == "ready":
            return Ready(**data)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WireError(f"The line {_shown(line)} is no message ({type(error).__name__}: {error}).") from error
    raise WireError(f"The line {_shown(line)} is a message of the unknown type {kind!r}.")


def _shown(line: str) -> str:
    """Return the beginning of a line, for the log; of a line that may hold a key, nothing."""
    return "with a key (not shown)" if _ABOUT_A_KEY.search(line) else repr(line[:80])


def _key(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("the key is no text")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
