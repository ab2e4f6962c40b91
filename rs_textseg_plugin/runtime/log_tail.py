"""The last words of a process."""

from __future__ import annotations

import threading
from collections import deque


class LogTail:
    """The last `length` lines of a text; one thread may write while another reads."""

    def __init__(self, length: int = 200) -> None:
        self._lines: deque[str] = deque(maxlen=length)
        self._lock = threading.Lock()

    def append(self, line: str) -> None:
        """Add a line, and forget the oldest where there are too many."""
        with self._lock:
            self._lines.append(line)

    def clear(self) -> None:
        """Forget all lines."""
        with self._lock:
            self._lines.clear()

    def __str__(self) -> str:
        with self._lock:
            return "\n".join(self._lines)
