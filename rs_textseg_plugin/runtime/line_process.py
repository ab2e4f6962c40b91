"""A child process that is spoken to in lines of text, from any thread and on every system."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import queue
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional, Union

from rs_textseg_plugin.runtime.log_tail import LogTail

LONGEST_LINE_BYTES = 64 * 2**20
_CREATE_NO_WINDOW = 0x08000000  # Windows: a console program started by QGIS would open a console
_TEMPORARY = ("TMPDIR", "TEMP", "TMP")  # what programs look for temporary files in
_LAST_OUTPUT_S = 2.0  # a grandchild may hold the pipes open after the child has ended


@dataclass(frozen=True)
class Ended:
    """The child is gone: its exit code (negative: the signal that ended it), or why it could not be started."""

    code: Optional[int]
    error: str = ""


@dataclass(frozen=True)
class Woken:
    """Nothing was said: somebody called `LineProcess.wake`."""


Output = Union[str, Ended, Woken]


class LineProcess:
    """A running child. Its pipes are served by an event loop in a daemon thread that ends with the child.

    asyncio serves the pipes because it reads and waits alike on Linux, macOS and Windows, where a pipe cannot be
    polled.

    Args:
        command: program and arguments.
        cwd: the child's working folder.
        environment: all of the child's environment variables.
        log: takes the lines of stderr.
        scratch: folder for its temporary files; None: one that goes with it.
    """

    def __init__(
        self,
        command: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        log: LogTail,
        scratch: Optional[Path] = None,
    ) -> None:
        self._command, self._cwd, self._environment, self._log = command, cwd, environment, log
        self._scratch = scratch
        self._output: queue.Queue[Output] = queue.Queue()
        self._loop = _new_loop()
        self._process: asyncio.subprocess.Process | None = None
        self._kill_wanted = False
        self._thread = threading.Thread(target=self._live, name="rs-textseg-engine", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether the child is running or about to."""
        return self._thread.is_alive()

    def read(self, until_s: float | None = None) -> Output:
        """Return the next line of stdout, or what else happened; `until_s` is on the clock of `time.monotonic`.

        Raises:
            queue.Empty: nothing happened until then.
        """
        return self._output.get(timeout=None if until_s is None else max(0.0, until_s - time.monotonic()))

    def wake(self) -> None:
        """Let the thread that reads return with `Woken`."""
        self._output.put(Woken())

    def forget_output(self) -> None:
        """Drop what was said so far."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._output.get_nowait()

    def write(self, line: str) -> None:
        """Send a line with its newline; it is lost where the child has ended."""
        self._call(self._write, line)

    def kill(self) -> None:
        """End the child at once."""
        self._call(self._kill)

    def join(self, timeout_s: float) -> bool:
        """Wait for the child's end; return whether it has come."""
        self._thread.join(timeout_s)
        return not self.is_alive

    def _call(self, function: Callable[..., None], *arguments: str) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the child has ended
            self._loop.call_soon_threadsafe(function, *arguments)

    def _write(self, line: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(line.encode())

    def _kill(self) -> None:
        self._kill_wanted = True
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    def _live(self) -> None:
        end = Ended(None, "the thread that serves it failed")
        try:
            end = self._live_in_scratch()
        except (OSError, RuntimeError) as error:  # no place for temporary files, or an event loop that another changed
            end = Ended(None, f"{type(error).__name__}: {error}")
        finally:
            self._loop.close()
            self._output.put(end)  # whatever happened: somebody waits for it

    def _live_in_scratch(self) -> Ended:
        if self._scratch is not None:
            return self._loop.run_until_complete(self._serve(str(self._scratch)))
        # The child's temporary files lie in a folder of ours: a child that is killed cannot remove them itself.
        scratch = tempfile.mkdtemp(prefix="rs_textseg_engine_")
        try:
            return self._loop.run_until_complete(self._serve(scratch))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    async def _serve(self, scratch: str) -> Ended:
        try:
            self._process = await asyncio.create_subprocess_exec(
                *natively(self._command, is_translated()),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=str(self._cwd),
                env={**self._environment, **dict.fromkeys(_TEMPORARY, scratch)},
                limit=LONGEST_LINE_BYTES,
                creationflags=_CREATE_NO_WINDOW if sys.platform == "win32" else 0,
            )
        except OSError as error:
            return Ended(None, str(error))
        if self._kill_wanted:
            self._kill()
        return await self._listen(self._process)

    async def _listen(self, process: asyncio.subprocess.Process) -> Ended:
        readers = {
            asyncio.ensure_future(_read_lines(process.stdout, self._output.put)),
            asyncio.ensure_future(_read_lines(process.stderr, self._log.append)),
        }
        code = await process.wait()
        _, unfinished = await asyncio.wait(readers, timeout=_LAST_OUTPUT_S)
        for reader in unfinished:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        return Ended(code)


def output_of(command: Sequence[str], environment: Mapping[str, str], timeout_s: float) -> str:
    """Return what a program writes to stdout; empty where it is not there, fails, or takes longer."""
    process, lines, until_s = (
        LineProcess(command, Path.home(), environment, LogTail()),
        [],
        time.monotonic() + timeout_s,
    )
    try:
        while not isinstance(output := process.read(until_s), Ended):
            lines += [output] if isinstance(output, str) else []
    except queue.Empty:
        process.kill()
        return ""
    return "\n".join(lines) if output.code == 0 else ""


def is_translated() -> bool:
    """Whether this process was made for Intel and runs on Apple silicon, whose kernel still says what it is."""
    is_intel_program = sys.platform == "darwin" and platform.machine() == "x86_64"
    return is_intel_program and "ARM64" in os.uname().version


def natively(command: Sequence[str], is_translated: bool) -> Sequence[str]:
    """Return a command that a translated process starts for Apple silicon; a universal Python would be Intel's too."""
    return ["/usr/bin/arch", "-arm64", *command] if is_translated else command


def _new_loop() -> asyncio.AbstractEventLoop:
    # Named, not taken from the policy: another plugin may have set a policy whose loops start no processes.
    if sys.platform == "win32":
        return asyncio.ProactorEventLoop()
    return asyncio.SelectorEventLoop()


async def _read_lines(stream: asyncio.StreamReader | None, put: Callable[[str], None]) -> None:
    """Hand each line to `put` until the stream ends; a carriage return ends a line too (progress bars)."""
    if stream is None:
        return
    while True:
        try:
            data = await stream.readline()
        except ValueError:  # longer than LONGEST_LINE_BYTES; the stream has dropped it
            data = f"[a line of more than {LONGEST_LINE_BYTES} bytes]\n".encode()
        if not data:
            return
        for line in data.decode(errors="replace").replace("\r", "\n").split("\n"):
            if line:
                put(line)
