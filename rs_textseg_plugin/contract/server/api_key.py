"""The key of an endpoint: where it comes from, what it may consist of, and how it stays out of words.

It is no part of a `Request`: requests are written into results. It crosses the wire in a message of its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from rs_textseg_plugin.contract.errors import InputError

VARIABLE = "RS_TEXTSEG_API_KEY"


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
    """Return a text with every occurrence of the key made unreadable."""
    return text.replace(key, "***") if key else text
