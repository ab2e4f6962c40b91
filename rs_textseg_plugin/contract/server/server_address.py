"""The address of a server, as it is used and as it may be shown."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import SplitResult, parse_qsl, urlsplit, urlunsplit

from rs_textseg_plugin.contract.errors import RecipeError

_HOST = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?|[0-9a-f:.]*:[0-9a-f:.]+")


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
        host = _checked_host(parts)
        if not base_url.strip().isprintable() or " " in base_url.strip():
            raise ValueError("white space")  # which urlsplit drops in silence
    except ValueError:
        raise RecipeError(
            f"base_url={shown_url(base_url)!r} is no address of a web server: give one that begins with http:// or "
            "https://, such as http://localhost:8000/v1."
        ) from None
    if "@" in parts.netloc:
        raise RecipeError(
            f"base_url={shown_url(base_url)!r} was given with a user name or a password, which would be written into "
            "results: leave them out, and give the key by itself."
        )
    url = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
    return ServerAddress(url, host, tuple(parse_qsl(parts.query, keep_blank_values=True)))


def _checked_host(parts: SplitResult) -> str:
    """Return the host with its port.

    Raises:
        ValueError: it is none, the port is none, or the address is not one of a web server. Names with letters outside
            ASCII count as none: what they stand for is read differently by different programs.
    """
    name = parts.hostname or ""
    if ":" in name or not name.strip("0123456789."):
        ip_address(name)
    is_web = parts.scheme in ("http", "https")
    if not is_web or parts.port == 0 or not _HOST.fullmatch(name) or "xn--" in name:
        raise ValueError("no web server")
    host = f"[{name}]" if ":" in name else name
    return host if parts.port is None else f"{host}:{parts.port}"


def is_this_machine(base_url: str) -> bool:
    """Whether an address is one of this machine itself: what is sent there meets no network."""
    name = (urlsplit(base_url).hostname or "").rstrip(".")
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def can_be_overheard(base_url: str) -> bool:
    """Whether what is sent there goes over a network without encryption."""
    return urlsplit(base_url).scheme == "http" and not is_this_machine(base_url)


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
