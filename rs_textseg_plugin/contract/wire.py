"""One message, one line of JSON.

To the engine: ``key`` (value) for the runs that follow, ``run`` (id, request), ``cancel`` (id), ``stop``. From the
engine: ``ready`` once after the start, ``loaded`` once its libraries are imported, then one message per event, each
with the id of its run.
"""

from __future__ import annotations

import dataclasses
import json
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
class Loaded:
    """The engine has imported its libraries; what ends it from now on is the run's affair."""


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


Message = Union[Ready, Loaded, Key, Run, Cancel, Stop, RunEvent]

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
        WireError: it is no JSON object, of no known type, or lacks a field. Its words show nothing of the line: any
            line that cannot be read may be a key that went astray. Only what is said of a request quotes its values.
    """
    try:
        data = json.loads(line)
        kind = data.pop("type")
        if kind in _EVENTS:
            return RunEvent(_text(data.pop("id")), _EVENTS[kind](data))
        if kind == "key":
            return Key(_text(data["value"]))
        if kind == "run":
            return Run(_text(data["id"]), Request.from_json(data["request"]))
        if kind == "cancel":
            return Cancel(_text(data["id"]))
        if kind == "stop":
            return Stop()
        if kind == "ready":
            return Ready(**data)
        if kind == "loaded":
            return Loaded()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        # Never "from error": it holds the line, and a traceback would show it.
        raise WireError(
            f"A line of {len(line)} characters (not shown) is no message ({type(error).__name__})."
        ) from None
    raise WireError(
        f"A line of {len(line)} characters (not shown) is a message of an unknown type: known are key, run, cancel, "
        "stop, ready, loaded and the events. Update both the plugin and the engine."
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value
