"""Words for what there is to see from above: they compete with what was asked for, where nothing else is named."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from rs_textseg_plugin.contract.folders import PACKAGE_FOLDER


@dataclass(frozen=True)
class Vocabulary:
    """The table in ``contract/vocabulary.json``.

    Attributes:
        words: land cover and objects.
        broader: of each word, the words that mean more than it, all in lower case.
        narrower: of each word, those that mean a part of it.
    """

    words: tuple[str, ...]
    broader: dict[str, frozenset[str]]
    narrower: dict[str, frozenset[str]]

    def related(self, word: str) -> set[str]:
        """Return the word, and all that is broader or narrower, in lower case."""
        start = word.casefold()
        return {start, *_reached(start, self.broader), *_reached(start, self.narrower)}

    def without_related(self, words: Iterable[str], asked: Iterable[str]) -> tuple[str, ...]:
        """Return those words that mean something else than each of the `asked` ones."""
        left_out = {word for given in asked for word in self.related(given)}
        return tuple(word for word in words if word.casefold() not in left_out)


def _reached(start: str, steps: dict[str, frozenset[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = steps.get(waiting.pop(), frozenset()) - found
        found |= new
        waiting += new
    return found


@lru_cache(maxsize=1)
def read_vocabulary() -> Vocabulary:
    """Return the table, read once."""
    data = json.loads((PACKAGE_FOLDER / "contract" / "vocabulary.json").read_text(encoding="utf-8"))
    narrower = {word.casefold(): frozenset(map(str.casefold, names)) for word, names in data["narrower"].items()}
    broader: dict[str, frozenset[str]] = {}
    for word, names in narrower.items():
        for name in names:
            broader[name] = broader.get(name, frozenset()) | {word}
    return Vocabulary(tuple(data["words"]), broader, narrower)
