"""The key of an endpoint, from QGIS's authentication store to the run that needs it.

A key is read when a run starts, lives as long as the run, and is written nowhere; what is remembered is the id of the
configuration in the store.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from qgis.core import QgsApplication, QgsAuthMethodConfig

from rs_textseg_plugin.contract.errors import InputError
from rs_textseg_plugin.contract.request import Request

_FIELDS = ("password", "token")  # where the methods "Basic" and "EsriToken" keep theirs
_BEARER = "bearer "


class KeyHolder:
    """The keys of runs under way, one for each thread: the dock and an algorithm may ask different servers at once."""

    def __init__(self) -> None:
        self._own = threading.local()

    def __call__(self) -> str:
        """Return the key of the run in this thread; empty where it has none."""
        return str(getattr(self._own, "key", ""))

    @contextlib.contextmanager
    def held(self, key: str) -> Iterator[None]:
        """Hold a key for what this thread runs."""
        self._own.key = key
        try:
            yield
        finally:
            self._own.key = ""


def key_for(request: Request, configuration: str) -> str:
    """Return the key for the server that pictures go to; empty where none goes. To be called on the main thread.

    Args:
        request: what will run.
        configuration: id in QGIS's authentication store; empty: the engine takes the key of its environment, if any.

    Raises:
        InputError: as `read_key`, or the recipe names a pipeline or preset that does not exist.
    """
    return read_key(configuration) if configuration and request.recipe.pictures_go_to else ""


def read_key(configuration: str) -> str:
    """Return the key in a configuration: its password, its token, or the value of its only header.

    Raises:
        InputError: there is no such configuration, the store is locked, or it holds no key.
    """
    stored = QgsAuthMethodConfig()
    is_read, stored = QgsApplication.authManager().loadAuthenticationConfig(configuration, stored, True)
    if not is_read:
        raise InputError(
            f"The authentication configuration {configuration!r} cannot be read: unlock QGIS's authentication store "
            "with its master password, or choose another configuration."
        )
    values = {name.lower(): str(value).strip() for name, value in stored.configMap().items()}
    key = next((values[name] for name in _FIELDS if values.get(name)), "")
    if stored.method() == "APIHeader":
        key = values.get("authorization", "") or (next(iter(values.values())) if len(values) == 1 else "")
    if not key:
        raise InputError(
            f"The authentication configuration {stored.name()!r} holds no key: put the key into the password of one of "
            "the kind Basic Authentication."
        )
    return key[len(_BEARER) :] if key.lower().startswith(_BEARER) else key
