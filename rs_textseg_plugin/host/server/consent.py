"""To which servers the user agreed that pictures of rasters may be sent."""

from __future__ import annotations

from rs_textseg_plugin.contract.server.server_address import parse_address
from rs_textseg_plugin.host.settings import CONSENTS


def has_consented(base_url: str) -> bool:
    """Whether the user agreed to send pictures to that address.

    Raises:
        RecipeError: it is no address.
    """
    return parse_address(base_url).base_url in _read()


def consent(base_url: str) -> None:
    """Remember that the user agreed.

    Raises:
        RecipeError: it is no address.
    """
    CONSENTS.write("\n".join(sorted({*_read(), parse_address(base_url).base_url})))


def take_back(base_url: str) -> None:
    """Forget that the user agreed.

    Raises:
        RecipeError: it is no address.
    """
    CONSENTS.write("\n".join(sorted({*_read()} - {parse_address(base_url).base_url})))


def _read() -> list[str]:
    return [line for line in CONSENTS.read().split("\n") if line]
