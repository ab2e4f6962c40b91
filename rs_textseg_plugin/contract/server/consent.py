"""Pictures leave this machine only for an address that the user agreed to."""

from __future__ import annotations

from rs_textseg_plugin.contract.errors import QueryError
from rs_textseg_plugin.contract.server.server_address import parse_address


def require_consent(pictures_go_to: str, consent_to_send: str) -> None:
    """Make sure that pictures go only to where the user agreed.

    Args:
        pictures_go_to: the address; empty: no picture is sent.
        consent_to_send: the address that was agreed to; empty: none.

    Raises:
        QueryError: they would go to another one.
        RecipeError: the address is none, or holds a password.
    """
    if not pictures_go_to:
        return
    shown = parse_address(pictures_go_to).base_url
    if pictures_go_to != consent_to_send:
        raise QueryError(
            f"Nothing was sent: pictures of the raster would leave this machine for {shown}, and nobody agreed to "
            "that. Agree if they may (--consent-to-send, in Processing CONSENT), or take a model on this machine "
            "(vlm=FOLDER)."
        )
