"""Who installs: one process at a time, and one that is killed gives up its turn."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import TracebackType

from rs_textseg_plugin.contract.errors import EngineUnavailable


class Turn:
    """The right to install into a folder; a context manager. The system takes it back when the process ends.

    Args:
        path: a file beside the folder; it stays, empty.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1

    def __enter__(self) -> Turn:
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._take()
        except OSError:
            os.close(self._file)
            raise EngineUnavailable(
                "The engine is being installed by another QGIS or command: wait until it has ended, and try again."
            ) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._file)

    def _take(self) -> None:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(self._file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
