"""To which servers the user agreed that pictures of rasters may be sent."""

from __future__ import annotations

from collections.abc import Collection

from rs_textseg_plugin.contract.server.server_address import parse_address
from rs_textseg_plugin.host.settings import CONSENTS


def consented_addresses() -> frozenset[str]:
    """Return the addresses, as they may be shown, that the user agreed to; this reads the settings."""
    return frozenset(line for line in CONSENTS.read().split("\n") if line)


def is_among(base_url: str, addresses: Collection[str]) -> bool:
    """Whether an address as it is typed is one of those that the user agreed to.

    Raises:
        RecipeError: it is no address.
    """
    return parse_address(base_url).base_url in addresses


def consent(base_url: str) -> None:
    """Remember that the user agreed.

    Raises:
        RecipeError: it is no address.
    """
    CONSENTS.write("\n".join(sorted(consented_addresses() | {parse_address(base_url).base_url})))


def take_back(base_url: str) -> None:
    """Forget that the user agreed.

    Raises:
        RecipeError: it is no address.
    """
    CONSENTS.write("\n".join(sorted(consented_addresses() - {parse_address(base_url).base_url})))
