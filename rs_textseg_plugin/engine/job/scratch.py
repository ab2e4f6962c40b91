"""The folder for the growing files of a run, and what is left of runs that were killed.

A run holds a lock on a file in its folder. The system lets go of it when the process dies, whatever it died of, so that
a folder whose lock can be had belongs to nobody.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

_PREFIX = "rs_textseg_"
_LOCK = "run.lock"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Lend an empty folder of this run alone; before that, remove those of runs that were killed."""
    sweep(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    lock = FileLock(folder / _LOCK)
    try:
        with lock:
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(home: Path) -> list[Path]:
    """Remove the scratch folders of killed runs below a folder, and return them; others are not touched."""
    return [folder for folder in sorted(home.glob(f"{_PREFIX}*")) if _is_abandoned(folder) and _removed(folder)]


def _is_abandoned(folder: Path) -> bool:
    """Whether a folder is a run's and its lock can be had; a folder without one may just be being made."""
    lock_file = folder / _LOCK
    if folder.is_symlink() or not lock_file.is_file():
        return False
    try:
        with FileLock(lock_file, timeout=0):
            return True
    except (Timeout, OSError):  # under way, or another user's
        return False


def _removed(folder: Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()
