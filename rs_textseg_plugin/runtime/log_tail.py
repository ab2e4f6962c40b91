"""The last words of a process."""

from __future__ import annotations

import threading
from collections import deque

from rs_textseg_plugin.contract.server.api_key import without_key


class LogTail:
    """The last `length` lines of a text; one thread may write while another reads."""

    def __init__(self, length: int = 200) -> None:
        self._lines: deque[str] = deque(maxlen=length)
        self._key = ""
        self._lock = threading.Lock()

    def hide(self, key: str) -> None:
        """Make a key unreadable in all lines from now on, in place of the one before; empty: there is none."""
        with self._lock:
            self._key = key

    def append(self, line: str) -> None:
        """Add a line, and forget the oldest where there are too many."""
        with self._lock:
            self._lines.append(without_key(line, self._key))

    def clear(self) -> None:
        """Forget all lines."""
        with self._lock:
            self._lines.clear()

    def __str__(self) -> str:
        with self._lock:
            return "\n".join(self._lines)
