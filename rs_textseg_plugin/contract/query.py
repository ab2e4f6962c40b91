"""What is asked: a class list or a phrase.

Text form of a class list: a comma, semicolon or newline separates classes, ``|`` separates aliases, a leading
``-`` marks a negative class (it competes and is never output), and ``*`` asks for everything else as a class.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from typing import Any

from rs_textseg_plugin.contract.colours import pick_colour
from rs_textseg_plugin.contract.errors import QueryError

EVERYTHING_ELSE = "everything else"
_SEPARATORS = re.compile(r"[,;\n]")
_LONGEST_NAME = 80  # of the class that stands for a phrase; the attribute `query` holds all of it
_EXAMPLE = 'for example "building|roof, road, water, -shadow"'


@dataclass(frozen=True)
class ClassSpec:
    """One class of a list.

    Attributes:
        name: what the result calls it.
        aliases: the words that are looked for, the name first.
        colour: ``#rrggbb``.
        negative: competes with the others and is never output.
    """

    name: str
    aliases: tuple[str, ...]
    colour: str
    negative: bool = False

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ClassSpec:
        """Rebuild from what JSON makes of a `ClassSpec`."""
        return cls(data["name"], tuple(data["aliases"]), data["colour"], bool(data["negative"]))


@dataclass(frozen=True)
class Query:
    """What is asked of a scene.

    Attributes:
        text: what the user typed, kept for names and provenance.
        classes: the class list, positives and negatives in the order typed. For a phrase: what it names, or one class
            that stands for all of it.
        everything_else: whether pixels of no class are output as the class "everything else".
        phrase: a referring phrase or question; empty for a class list.
    """

    text: str
    classes: tuple[ClassSpec, ...] = ()
    everything_else: bool = False
    phrase: str = ""

    @property
    def positives(self) -> tuple[ClassSpec, ...]:
        """The classes that the result may contain, without "everything else"."""
        return tuple(spec for spec in self.classes if not spec.negative)

    @property
    def output_classes(self) -> tuple[ClassSpec, ...]:
        """The classes that the result may contain; their 1-based position is the value in a label raster."""
        if not self.everything_else:
            return self.positives
        return (*self.positives, ClassSpec(EVERYTHING_ELSE, (EVERYTHING_ELSE,), "#bdbdbd"))

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Query:
        """Rebuild from what JSON makes of a `Query`."""
        classes = tuple(ClassSpec.from_json(spec) for spec in data["classes"])
        return cls(data["text"], classes, bool(data["everything_else"]), data["phrase"])


def parse_class_list(text: str) -> Query:
    """Read a typed class list.

    Raises:
        QueryError: nothing to look for, only negatives, a class without a word, or a name given twice.
    """
    classes: list[ClassSpec] = []
    everything_else = False
    for entry in filter(None, (part.strip() for part in _SEPARATORS.split(text))):
        if entry.casefold() in ("*", EVERYTHING_ELSE):
            everything_else = True
        else:
            classes.append(_parse_class(entry, taken=[spec.colour for spec in classes]))
    _check_classes(text, classes)
    return Query(text.strip(), tuple(classes), everything_else)


def parse_phrase(text: str) -> Query:
    """Take a referring phrase or question as it is; one class stands for whatever answers it.

    Raises:
        QueryError: the phrase is empty.
    """
    phrase = " ".join(text.split())
    if not phrase:
        raise QueryError('The phrase is empty: type what to look for, for example "the bridge across the river".')
    name = textwrap.shorten(phrase, _LONGEST_NAME, placeholder="...")
    return Query(text.strip(), (ClassSpec(name, (name,), pick_colour((name,), [])),), phrase=text.strip())


def _parse_class(entry: str, taken: list[str]) -> ClassSpec:
    negative = entry.startswith("-")
    words = (" ".join(word.split()) for word in entry.lstrip("-").split("|"))
    aliases = tuple(dict.fromkeys(filter(None, words)))
    if not aliases:
        raise QueryError(f"The class {entry!r} has no word to look for: write a name, {_EXAMPLE}.")
    return ClassSpec(aliases[0], aliases, pick_colour(aliases, taken), negative)


def _check_classes(text: str, classes: list[ClassSpec]) -> None:
    if not classes:
        raise QueryError(f"The class list {text.strip()!r} names no class: type at least one, {_EXAMPLE}.")
    if all(spec.negative for spec in classes):
        raise QueryError(
            f"The class list {text.strip()!r} holds only negative classes, which are never output: "
            f"add a class to look for, {_EXAMPLE}."
        )
    names = [spec.name.casefold() for spec in classes]
    for name in names:
        if names.count(name) > 1:
            raise QueryError(f"The class {name!r} is named twice: keep one, and join its words with '|'.")
