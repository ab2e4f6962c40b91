"""One run at a time writes to an output: who comes second is told before the work.

The lock is an empty hidden file beside the output. The system lets go of it when the process dies, whatever it died of;
what a killed process left is taken over by the next run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import astuple
from hashlib import sha256
from pathlib import Path

from rs_textseg_plugin.contract.errors import OutputError
from rs_textseg_plugin.contract.request import Output


@contextmanager
def locked(output: Output) -> Iterator[None]:
    """Hold all files of an output for a run; on drives that know no locks nothing is held.

    Raises:
        OutputError: another run holds one of them.
    """
    with ExitStack() as held:
        for target in sorted({os.path.realpath(name) for name in _names(output)}):
            held.enter_context(_locked_file(Path(target)))
        yield


def _names(output: Output) -> Iterable[str]:
    return filter(None, astuple(output))


@contextmanager
def _locked_file(target: Path) -> Iterator[None]:
    lock = target.with_name(f".rs_textseg_{sha256(os.path.normcase(target.name).encode()).hexdigest()[:32]}.lock")
    try:
        descriptor = _taken(lock)
    except BlockingIOError as error:
        raise OutputError(
            f"Another run is writing to {target}: wait until it has ended, or choose another name."
        ) from error
    except OSError:  # no locks on this drive, or another user's file; names of growing files are unique all the same
        descriptor = None
    try:
        yield
    finally:
        if descriptor is not None:
            _let_go(lock, descriptor)


if sys.platform == "win32":

    def _taken(lock: Path) -> int | None:
        """Make a file that goes with its descriptor, whatever ends the process."""
        try:
            return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_TEMPORARY)
        except (FileExistsError, PermissionError) as error:
            if lock.is_file() and lock.stat().st_size:
                return None  # somebody else's
            raise BlockingIOError from error

    def _let_go(lock: Path, descriptor: int) -> None:
        os.close(descriptor)

else:
    import fcntl

    def _taken(lock: Path) -> int | None:
        """Return the descriptor of a held lock; None: a file of that name is somebody else's."""
        while True:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                status = os.fstat(descriptor)
                if status.st_size:
                    os.close(descriptor)
                    return None
                if _is_at(lock, status):
                    return descriptor
            except OSError:
                os.close(descriptor)
                raise
            os.close(descriptor)  # whoever held it removed it between the two steps

    def _is_at(lock: Path, status: os.stat_result) -> bool:
        try:
            return os.path.samestat(lock.lstat(), status)
        except FileNotFoundError:
            return False

    def _let_go(lock: Path, descriptor: int) -> None:
        """Remove the file while it is held, so that nobody holds a file that has gone."""
        lock.unlink(missing_ok=True)
        os.close(descriptor)
