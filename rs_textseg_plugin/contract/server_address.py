"""The address of a server, as it is used and as it may be shown."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from rs_textseg_plugin.contract.errors import RecipeError


@dataclass(frozen=True)
class ServerAddress:
    """The base URL of an OpenAI-compatible server.

    Attributes:
        base_url: without query and without a slash at its end; fit to be shown.
        host: its name, with the port where one is given.
        query: names and values that go with every request; they may be secret.
    """

    base_url: str
    host: str
    query: tuple[tuple[str, str], ...] = field(default=(), repr=False)


def parse_address(base_url: str) -> ServerAddress:
    """Read the base URL that a user gave.

    Raises:
        RecipeError: it is no address of a web server, or holds a user name or a password.
    """
    try:
        parts = urlsplit(base_url.strip())
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        (parts.hostname or "").encode("idna")
    except ValueError:  # brackets, a port or a name that make no sense
        is_usable = False
    if not is_usable or re.search(r"[\s\x00-\x1f]", base_url.strip()):
        raise RecipeError(
            f"base_url={shown_url(base_url)!r} is no address of a web server: give one that begins with http:// or "
            "https://, such as http://localhost:8000/v1."
        )
    if "@" in parts.netloc:
        raise RecipeError(
            f"base_url={shown_url(base_url)!r} was given with a user name or a password, which would be written into "
            "results: leave them out, and give the key by itself."
        )
    url = urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))
    return ServerAddress(url, parts.netloc, tuple(parse_qsl(parts.query, keep_blank_values=True)))


def shown_url(url: str) -> str:
    """Return a URL without what may be secret in it: user name, password, query and fragment."""
    try:
        parts = urlsplit(url.strip())
        host = parts.netloc.rpartition("@")[2] if parts.port != 0 else ""
    except ValueError:
        host = ""
    if host:
        return urlunsplit((parts.scheme, host, parts.path, "", ""))
    return "..." if "@" in url else re.split(r"[?#]", url.strip(), maxsplit=1)[0]
