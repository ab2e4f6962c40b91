"""Names that users give to lists and model sets, and that become names of files on every system."""

from __future__ import annotations

import re

# Windows reserves them whatever their ending, and cuts streams off at a colon: a list would be saved and never found.
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE)
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]')
_LONGEST_BYTES = 200  # file systems allow 255 with what is added


def why_no_file_name(name: str) -> str:
    """Return in words what keeps a text from being the name of a file on any system; empty: nothing does."""
    if not name.strip():
        return "it is empty"
    forbidden = _FORBIDDEN.search(name)
    if forbidden:
        return f"it holds {forbidden.group()!r}"
    if name != name.strip() or name.startswith(".") or name.endswith("."):
        return "it begins or ends with a space or a dot"
    if _RESERVED.fullmatch(name):
        return "Windows keeps that name for itself"
    return "it is too long" if len(name.encode()) > _LONGEST_BYTES else ""
