"""Finished files on their way to their targets: first all are copied beside them, then all take their places."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from rs_textseg_plugin.contract.errors import OutputError


class Placement:
    """Puts the files of one result in place of those of an earlier one, all of them or, as far as can be, none.

    A context manager: what was not committed is taken away again.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[Path, Path]] = []
        self._stale: list[Path] = []

    def __enter__(self) -> Placement:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for beside, _ in self._waiting:
            with suppress(OSError):
                beside.unlink()

    def put(self, source: Path, target: Path) -> None:
        """Copy a finished file beside its target.

        Raises:
            OutputError: no space or no right to write there.
        """
        beside = target.with_name(f".{target.name}.part")
        self._waiting.append((beside, target))
        with _explained(target):
            shutil.copyfile(source, beside)

    def drop(self, target: Path) -> None:
        """Remove a file of an earlier result that would be wrong beside the new one, if it is there."""
        self._stale.append(target)

    def commit(self) -> None:
        """Let every file take its place, each in one step where the system can.

        Raises:
            OutputError: a target cannot be replaced, for example because another program holds it open.
        """
        while self._waiting:
            beside, target = self._waiting[0]
            with _explained(target):
                beside.replace(target)
            self._waiting.pop(0)
        for target in self._stale:
            with _explained(target):
                target.unlink(missing_ok=True)


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    """Turn the system's refusal into words."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"The output {target} cannot be written ({error.strerror or error}): "
            "close other programs that use it, or choose another name."
        ) from error
