"""What methods saw of tiles, kept in memory for the next question."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from rs_textseg_plugin.engine.pipelines.protocol import Kept

KeptT = TypeVar("KeptT", bound=Kept)

# About 200 tiles of a 1024 px grid; a second question about them costs no network pass.
_LIMIT_BYTES = 512 * 2**20


class ObservationCache:
    """The observations used last, up to a number of bytes."""

    def __init__(self, limit_bytes: int = _LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._held: OrderedDict[Hashable, Any] = OrderedDict()
        self._bytes = 0

    def get_or_make(self, key: Hashable, make: Callable[[], KeptT]) -> KeptT:
        """Return the observation under that key; where there is none, make and hold it."""
        if key in self._held:
            self._held.move_to_end(key)
            held: KeptT = self._held[key]
            return held
        made = make()
        self._held[key] = made
        self._bytes += made.nbytes
        while self._bytes > self._limit_bytes and len(self._held) > 1:
            _, dropped = self._held.popitem(last=False)
            self._bytes -= dropped.nbytes
        return made
