"""JSON as language models write it: between words, with mistakes, or broken off.

Read are also comments, single quotes, bare words and keys, round brackets, quotes within strings, commas too many or
too few, and brackets that were forgotten. One pass over the text, without recursion: its time is linear.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Union

_DEEPEST = 64  # brackets within brackets; no answer is nested so deep, and what walks over values may recurse
_CLOSES = {"]": "[", "}": "{", ")": "("}
_WORDS = {"true": True, "false": False, "null": None, "none": None, "undefined": None}
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "", "f": ""}

_OPENING = re.compile(r"[\[{]")
_SPACE = re.compile(r"(?:[\s,;`]|//[^\n]*|/\*.*?(?:\*/|\Z))*", re.DOTALL)
_WORD = re.compile(r"[^\s,;:\[\]{}()\"`]+")
_COLON = re.compile(r"\s*:")
_STRING = {quote: re.compile(rf"{quote}((?:[^{quote}\\]|\\.)*){quote}", re.DOTALL) for quote in "\"'"}
_AFTER_STRING = re.compile(r"\s*(?:[,;:\[\]{}()\"'`/]|\Z)|\s+\w+\s*:")
# A quote within a string is one that no comma or bracket follows: "the "big" house", 'the ship's deck'.
_REST_OF_STRING = {quote: re.compile(rf"[^:\[\]{{}}\n]{{0,200}}?{quote}(?=\s*(?:[,}}\]]|\Z))") for quote in "\"'"}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)

Container = Union[dict[str, Any], list[Any]]


@dataclass
class JsonValues:
    """What a text has of lists and objects.

    Attributes:
        values: the outermost ones in their order. Their members are the same, strings, True, False or None; a number
            is the string that the text has for it.
        unfinished: those that the text ends within, the outermost first; each but the first is a member of the one
            before.
    """

    values: list[Container] = field(default_factory=list)
    unfinished: list[Container] = field(default_factory=list)


def find_values(text: str) -> JsonValues:
    """Return the lists and objects that a text holds, complete or not; never raises."""
    return _Parser(text).run()


@dataclass
class _Open:
    """A bracket that is open: the key is of the member whose value comes next."""

    bracket: str
    value: Container
    key: str | None = None

    def put(self, member: Any) -> None:
        """Add a member. What stands in an object without a key is left out, unless it holds something itself."""
        if isinstance(self.value, list):
            self.value.append(member)
        elif self.key is not None:
            self.value[self.key] = member
        elif isinstance(member, (dict, list)):
            self.value.setdefault("", member)
        self.key = None


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._open: list[_Open] = []
        self._found = JsonValues()

    def run(self) -> JsonValues:
        while self._skip():
            self._step(self._text[self._at])
        self._found.unfinished = [container.value for container in self._open]
        return self._found

    def _skip(self) -> bool:
        """Go to where the next thing begins; outside of all brackets that is a bracket."""
        if self._open:
            space = _SPACE.match(self._text, self._at)
            self._at = space.end() if space else self._at
        else:
            opening = _OPENING.search(self._text, self._at)
            self._at = opening.start() if opening else len(self._text)
        return self._at < len(self._text)

    def _step(self, character: str) -> None:
        if character in "[{(":
            self._begin(character)
        elif character in "]})":
            self._end(character)
        elif character in "\"'":
            self._read_string(character)
        elif character == ":":
            self._at += 1
        else:
            self._read_word()

    def _begin(self, bracket: str) -> None:
        if len(self._open) == _DEEPEST:
            self._open.clear()
        value: Container = {} if bracket == "{" else []
        if self._open:
            self._open[-1].put(value)
        else:
            self._found.values.append(value)
        self._open.append(_Open(bracket, value))
        self._at += 1

    def _end(self, bracket: str) -> None:
        """Close the innermost bracket of that kind and those within it; one that was never opened is ignored."""
        for depth in reversed(range(len(self._open))):
            if self._open[depth].bracket == _CLOSES[bracket]:
                del self._open[depth:]
                break
        self._at += 1

    def _read_string(self, quote: str) -> None:
        match = _STRING[quote].match(self._text, self._at)
        if match is None:
            self._at = len(self._text)
            return
        end = match.end()
        if not _AFTER_STRING.match(self._text, end):
            rest = _REST_OF_STRING[quote].match(self._text, end)
            end = rest.end() if rest else end
        self._put(_unescaped(self._text[self._at + 1 : end - 1]), end)

    def _read_word(self) -> None:
        match = _WORD.match(self._text, self._at)
        end = match.end() if match else self._at + 1
        word = self._text[self._at : end]
        self._put(_WORDS.get(word.lower(), word), end)

    def _put(self, value: Any, end: int) -> None:
        """Take a word or a string as a key where a colon follows in an object, else as a member."""
        self._at = end
        innermost = self._open[-1]
        if isinstance(innermost.value, dict) and _COLON.match(self._text, end):
            innermost.key = str(value)
        else:
            innermost.put(value)


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(_character_of, text) if "\\" in text else text


def _character_of(match: re.Match[str]) -> str:
    escaped = match[1]
    return chr(int(escaped[1:], 16)) if len(escaped) == 5 else _ESCAPED.get(escaped, escaped)
