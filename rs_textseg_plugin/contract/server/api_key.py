"""The key of an endpoint: where it comes from, what it may consist of, and how it stays out of words.

It is no part of a `Request`: requests are written into results. It crosses the wire in a message of its own.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping

from rs_textseg_plugin.contract.errors import InputError

VARIABLE = "RS_TEXTSEG_API_KEY"

# A shorter one guards nothing, and what looks like it stands in every text.
_SHORTEST_SECRET = 4
_FIRST_WHOLE_LETTER = (0, 2, 3)  # of base64, by the number of bytes that come before in a group of three


def no_key() -> str:
    """Return the empty key, for those who have none."""
    return ""


def key_from_environment(environment: Mapping[str, str] = os.environ) -> str:
    """Return the key in the environment variable `VARIABLE`; empty where it is not set."""
    return environment.get(VARIABLE, "").strip()


def checked_key(key: str) -> str:
    """Return a key without white space around it; the empty key is a key, for servers that want none.

    Raises:
        InputError: it holds something that no HTTP header can carry. The words do not show the key.
    """
    key = key.strip()
    if not all("!" <= character <= "~" for character in key):
        raise InputError(
            f"The key ({len(key)} characters) holds a space, a line break or a letter outside ASCII, as no key does: "
            f"copy it again into the environment variable {VARIABLE} or into QGIS's authentication store."
        )
    return key


def without_key(text: str, key: str) -> str:
    """Return a text with every occurrence of the key made unreadable: plain, URL-encoded, JSON-escaped or in base64.

    Args:
        text: of others; in base64 the key may stand within something longer, such as ``user:key``.
        key: fewer than four characters are no secret: the text stays as it is.
    """
    if len(key) < _SHORTEST_SECRET or not text:
        return text
    return re.sub("|".join((_spelt(key), *_in_base64(key))), "***", text)


def _spelt(key: str) -> str:
    """Return a pattern for a key of which any letter may be percent-encoded, once or more often, or escaped."""
    return "".join(_letter(letter) for letter in key)


def _letter(letter: str) -> str:
    escaped = "".join(rf"(?:%(?:25)*|\\u00){byte:02x}|" for byte in letter.encode("utf-8", "replace"))
    plain = re.escape(letter) if letter.isalnum() else rf"\\{{0,3}}{re.escape(letter)}"
    return f"(?:(?i:{escaped[:-1]})|{plain})"


def _in_base64(key: str) -> list[str]:
    """Return patterns for a key in base64: which letters it becomes depends on how many bytes stand before it."""
    patterns = []
    for before, first in enumerate(_FIRST_WHOLE_LETTER):
        data = bytes(before) + key.encode("utf-8", "replace")
        letters = base64.b64encode(data).decode()[first : len(data) * 8 // 6]
        patterns.append("".join(_base64_letter(letter) for letter in letters))
    return patterns


def _base64_letter(letter: str) -> str:
    """Return a pattern for a letter of either alphabet of base64, which a URL may hold percent-encoded."""
    return {"+": r"(?:[-+]|%2[Bb])", "/": r"(?:[_/]|\\/|%2[Ff])"}.get(letter, letter)
