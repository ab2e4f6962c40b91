"""A program that is watched while it works: it may take as long as it likes, but not be silent for long."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Callable

from rs_textseg_plugin.contract.errors import Cancelled, EngineError
from rs_textseg_plugin.runtime.log_tail import LogTail

_CREATE_NO_WINDOW = 0x08000000  # Windows: a console program started by QGIS would open a console
_LOOK_EVERY_S = 0.2
_MEASURE_EVERY_S = 1.0
_END_S = 5.0


class ChildRun:
    """Runs programs one after the other.

    Args:
        environment: all of their environment variables.
        folder: what grows while they work; its size tells how far they are.
        grown: told the size of the folder in bytes, now and then.
        should_stop: whether the user has given up.
        silence_s: for how long a program may neither write a line nor let the folder grow.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        folder: Path,
        grown: Callable[[int], None],
        should_stop: Callable[[], bool],
        silence_s: float = 180.0,
    ) -> None:
        self.environment, self._folder, self._grown = dict(environment), folder, grown
        self._should_stop, self._silence_s = should_stop, silence_s
        self.log = LogTail()
        self._last_sign_s, self._size = 0.0, -1

    def run(self, command: Sequence[str], **variables: str) -> int:
        """Run a program to its end and return its exit code; what it writes is in the log.

        Raises:
            Cancelled: the user gave up; the program was ended.
            EngineError: it cannot be started, or was silent for too long and ended.
        """
        self.log.append("$ " + " ".join(command))
        try:
            process = subprocess.Popen(
                command,
                env={**self.environment, **variables},
                cwd=str(self._folder),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                creationflags=_CREATE_NO_WINDOW if sys.platform == "win32" else 0,
            )
        except OSError as error:
            raise EngineError(f"The program {command[0]!r} cannot be started ({error.strerror or error}).") from error
        reader = threading.Thread(target=self._read, args=(process,), name="rs-textseg-install", daemon=True)
        reader.start()
        try:
            self._watch(process)
        finally:
            _end(process)
            reader.join(_END_S)
        return process.returncode

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        self._last_sign_s = measured_s = time.monotonic()
        while process.poll() is None:
            if self._should_stop():
                raise Cancelled("The installation was stopped; what was downloaded is kept for the next try.")
            now_s = time.monotonic()
            if now_s - measured_s > _MEASURE_EVERY_S:
                measured_s = now_s
                self._measure(now_s)
            if now_s - self._last_sign_s > self._silence_s:
                raise EngineError(
                    f"The installation stood still for {self._silence_s:g} s and was ended; what was downloaded is "
                    "kept. Look at the network and try again."
                )
            time.sleep(_LOOK_EVERY_S)

    def _measure(self, now_s: float) -> None:
        size = folder_bytes(self._folder)
        if size != self._size:
            self._size, self._last_sign_s = size, now_s
            self._grown(size)

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._last_sign_s = time.monotonic()
            for part in line.decode(errors="replace").replace("\r", "\n").split("\n"):
                if part.strip():
                    self.log.append(part.rstrip())


def folder_bytes(folder: Path) -> int:
    """Return how many bytes the files in a folder hold; what goes away meanwhile does not count."""
    size, open_folders = 0, [str(folder)]
    while open_folders:
        with contextlib.suppress(OSError), os.scandir(open_folders.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        open_folders.append(entry.path)
                    else:
                        size += entry.stat(follow_symlinks=False).st_size
    return size


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
