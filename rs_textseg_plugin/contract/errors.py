"""What can go wrong, in one tree.

::

    TextSegError
    ├── InputError            the request cannot be met as it stands       exit status 2
    │   ├── QueryError          the text: empty, only negatives, ...
    │   ├── RecipeError         the pipeline or a parameter
    │   ├── SceneError          the raster: unreadable, bands, extent, georeference
    │   ├── ModelError          a checkpoint: missing, truncated, foreign
    │   ├── OutputError         where the result should go
    │   └── WireError           a message that is no message
    ├── EngineError           the request was fine, the run was not         exit status 1
    │   ├── MemoryExhausted     not even one small batch fits
    │   ├── EngineCrashed       the worker process ended by itself
    │   └── EngineUnavailable   no interpreter, no environment, wrong version
    └── Cancelled             the user stopped the run                      exit status 130

A message says what happened, with which value, and what to do about it, in one sentence or two.
"""

from __future__ import annotations

_LONGEST_VALUE, _LONGEST_MESSAGE = 80, 2000  # characters
# As they are written in Python; a terminal or a log obeys some of them. Tabs and line ends stay.
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), *range(127, 160))}


def shown(value: object) -> str:
    """Return a value as a sentence shows it: in quotes where it is a text, escaped, with an end."""
    text = value[: _LONGEST_VALUE + 1] if isinstance(value, str) else value
    words = repr(text)
    is_whole = len(words) <= _LONGEST_VALUE + 2
    return words if is_whole else f"{words[: _LONGEST_VALUE - 2]}...{words[-1] if isinstance(value, str) else ''}"


class TextSegError(Exception):
    """Any failure that is explained in words; ``str(error)`` is fit to be shown to the user."""

    exit_status = 1

    def __str__(self) -> str:
        """Return the sentence: control characters are escaped, and of a long one the middle is left out."""
        message = super().__str__()
        if len(message) > _LONGEST_MESSAGE:
            message = f"{message[: _LONGEST_MESSAGE - 505]} ... {message[-500:]}"
        return message.translate(_ESCAPES)


class InputError(TextSegError):
    """The request cannot be met as it stands; nothing was computed or written."""

    exit_status = 2


class QueryError(InputError):
    """The text asks for nothing that can be looked for."""


class RecipeError(InputError):
    """An unknown pipeline, or a parameter that does not exist or is out of its range."""


class SceneError(InputError):
    """The raster cannot be read as asked."""


class ModelError(InputError):
    """A model set or a checkpoint is missing, damaged or of another kind."""


class OutputError(InputError):
    """The result cannot be written where it was asked for."""


class WireError(InputError):
    """A line on the wire is no message of this protocol."""


class EngineError(TextSegError):
    """The request was accepted, the run failed."""


class MemoryExhausted(EngineError):
    """The smallest batch on the last device did not fit into memory."""


class EngineCrashed(EngineError):
    """The worker process ended without being asked to."""


class EngineUnavailable(EngineError):
    """The worker process cannot be started."""


class Cancelled(TextSegError):
    """The run was cancelled; no output was written."""

    exit_status = 130


def _subclasses(kind: type[TextSegError]) -> list[type[TextSegError]]:
    found = [kind]
    for child in kind.__subclasses__():
        found.extend(_subclasses(child))
    return found


def error_from_name(name: str, message: str) -> TextSegError:
    """Rebuild an error that crossed the wire as ``(class name, message)``.

    An unknown name becomes an `EngineError`, so that a newer engine cannot confuse an older plugin.
    """
    kinds = {kind.__name__: kind for kind in _subclasses(TextSegError)}
    return kinds.get(name, EngineError)(message)
