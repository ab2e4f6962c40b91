"""What is asked: a class list or a phrase.

Text form of a class list: a comma, semicolon or newline separates classes, ``|`` separates aliases, a leading
``-`` marks a negative class (it competes and is never output), and ``*`` asks for everything else as a class.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import Any

from rs_textseg_plugin.contract.colours import Palette, pick_colour
from rs_textseg_plugin.contract.errors import QueryError, shown

EVERYTHING_ELSE = "everything else"
MOST_CLASSES = 255  # of a result: what 8 bits number beside "no class"
_SEPARATORS = re.compile(r"[,;\n]")
_TURNS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")  # the classes of Unicode's embeddings
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
        QueryError: nothing to look for, only negatives, more than a result holds, a class without a word or with a
            control character, or a name given twice.
    """
    entries = [entry for entry in (part.strip() for part in _SEPARATORS.split(text)) if entry]
    named = [entry for entry in entries if entry.casefold() not in ("*", EVERYTHING_ELSE)]
    everything_else = len(named) < len(entries)
    require_few_classes(sum(not entry.startswith("-") for entry in named) + everything_else)
    palette = Palette()
    classes = [_parse_class(entry, palette) for entry in named]
    _check_classes(text, classes)
    return Query(text.strip(), tuple(classes), everything_else)


def require_few_classes(count: int) -> None:
    """Check that a result can hold that many classes.

    Raises:
        QueryError: it cannot.
    """
    if count > MOST_CLASSES:
        raise QueryError(
            f"The class list names {count} classes, and a result holds at most {MOST_CLASSES}: "
            "ask for fewer, or join some with '|'."
        )


def parse_phrase(text: str) -> Query:
    """Take a referring phrase or question as it is; one class stands for whatever answers it.

    Raises:
        QueryError: the phrase is empty, or holds a control character.
    """
    phrase = " ".join(text.split())
    _require_printable("phrase", phrase)
    if not phrase:
        raise QueryError('The phrase is empty: type what to look for, for example "the bridge across the river".')
    name = textwrap.shorten(phrase, _LONGEST_NAME, placeholder="...")
    return Query(text.strip(), (ClassSpec(name, (name,), pick_colour((name,), [])),), phrase=text.strip())


def _parse_class(entry: str, palette: Palette) -> ClassSpec:
    words = (" ".join(word.split()) for word in entry.lstrip("-").split("|"))
    aliases = tuple(dict.fromkeys(filter(None, words)))
    if not aliases:
        raise QueryError(f"The class {shown(entry)} has no word to look for: write a name, {_EXAMPLE}.")
    for alias in aliases:
        _require_printable("class", alias)
    return ClassSpec(aliases[0], aliases, palette.pick(aliases), entry.startswith("-"))


def _require_printable(what: str, words: str) -> None:
    """Refuse control characters, halves of characters, and what turns the direction of the text around.

    Blanks of any kind have become single blanks before. Joiners stay: some scripts are not written without them.
    """
    if words.isprintable():
        return
    for character in words:
        if unicodedata.category(character) in ("Cc", "Cs") or unicodedata.bidirectional(character) in _TURNS:
            raise QueryError(
                f"The {what} {shown(words)} holds the character U+{ord(character):04X}, which cannot be seen: "
                "type it again without that character."
            )


def _check_classes(text: str, classes: list[ClassSpec]) -> None:
    if not classes:
        raise QueryError(f"The class list {shown(text.strip())} names no class: type at least one, {_EXAMPLE}.")
    if all(spec.negative for spec in classes):
        raise QueryError(
            f"The class list {shown(text.strip())} holds only negative classes, which are never output: "
            f"add a class to look for, {_EXAMPLE}."
        )
    for name, count in Counter(spec.name.casefold() for spec in classes).items():
        if count > 1:
            raise QueryError(f"The class {shown(name)} is named twice: keep one, and join its words with '|'.")
