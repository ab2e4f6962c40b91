"""A program that is watched while it works: it may take as long as it likes, but not be silent for long."""

from __future__ import annotations

import contextlib
import os
import queue
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Callable

from rs_textseg_plugin.contract.errors import Cancelled, EngineError
from rs_textseg_plugin.runtime.line_process import Ended, LineProcess, Woken
from rs_textseg_plugin.runtime.log_tail import LogTail

_LOOK_EVERY_S = 0.2
_MEASURE_EVERY_S = 1.0
_END_S = 5.0


class ChildRun:
    """Runs programs one after the other.

    Args:
        environment: all of their environment variables.
        cwd: their working folder.
        folder: what grows while they work; its size tells how far they are.
        scratch: folder for their temporary files.
        grown: told the size of the folder in bytes, now and then.
        should_stop: whether the user has given up.
        silence_s: for how long a program may neither write a line nor let the folder grow.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        cwd: Path,
        folder: Path,
        scratch: Path,
        grown: Callable[[int], None],
        should_stop: Callable[[], bool],
        silence_s: float,
    ) -> None:
        self.environment, self._cwd, self._scratch = dict(environment), cwd, scratch
        self._folder, self._grown = folder, grown
        self._should_stop, self._silence_s = should_stop, silence_s
        self.log = LogTail()
        self._last_sign_s, self._size = 0.0, -1

    def run(self, command: Sequence[str]) -> int:
        """Run a program to its end and return its exit code; what it writes is in the log.

        Raises:
            Cancelled: the user gave up; the program was ended.
            EngineError: it cannot be started, or was silent for too long and ended.
        """
        self.log.append("$ " + " ".join(command))
        process = LineProcess(command, self._cwd, self.environment, self.log, self._scratch)
        try:
            ended = self._watch(process)
        finally:
            process.kill()
            process.join(_END_S)
        if ended.code is None:
            raise EngineError(f"The program {command[0]!r} cannot be started ({ended.error}).")
        return ended.code

    def _watch(self, process: LineProcess) -> Ended:
        """Wait for a program's end and keep what it writes.

        Raises:
            Cancelled: the user gave up.
            EngineError: it was silent for too long.
        """
        self._last_sign_s = measured_s = time.monotonic()
        while True:
            try:
                output = process.read(time.monotonic() + _LOOK_EVERY_S)
            except queue.Empty:
                output = Woken()
            if isinstance(output, Ended):
                return output
            now_s = time.monotonic()
            if isinstance(output, str):
                self.log.append(output)
                self._last_sign_s = now_s
            if now_s - measured_s > _MEASURE_EVERY_S:
                measured_s = now_s
                self._measure(now_s)
            self._stop_where_needed(now_s)

    def _stop_where_needed(self, now_s: float) -> None:
        if self._should_stop():
            raise Cancelled("The installation was stopped; what was downloaded is kept for the next try.")
        if now_s - self._last_sign_s > self._silence_s:
            raise EngineError(
                f"The installation stood still for {self._silence_s:g} s and was ended; what was downloaded is kept. "
                "Look at the network and try again."
            )

    def _measure(self, now_s: float) -> None:
        size = folder_bytes(self._folder)
        if size != self._size:
            self._size, self._last_sign_s = size, now_s
            self._grown(size)


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
