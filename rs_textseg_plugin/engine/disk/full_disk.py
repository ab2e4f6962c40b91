"""Disks that run full, in words.

The libraries hide it: errors of GDAL and pyogrio carry no number of the system's, and what fails while a file is
closed is printed and forgotten. So whatever fails while a file is written counts as a file that is not whole.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyogrio.errors
from rasterio.errors import RasterioError

from rs_textseg_plugin.contract.errors import EngineError

# No space, no quota, and no longer file than this (a limit of the process or of the file system).
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_ADVICE = "free some space there, or set the environment variable TMPDIR to a folder on a larger disk."
_LIBRARY_ERRORS = (RasterioError, pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError)


def is_full(error: OSError) -> bool:
    """Whether the system refused to write because there is no room."""
    return error.errno in _FULL


def full_disk(place: Path | str) -> EngineError:
    """Return the error for a disk without room.

    Args:
        place: the file or folder that was written to.
    """
    return EngineError(f"The disk is full ({place}): {_ADVICE}")


def not_whole(path: Path, reason: str) -> EngineError:
    """Return the error for a file that could not be written to its end.

    Args:
        path: the growing file.
        reason: what was found out.
    """
    said = " ".join(reason.split()).rstrip(".")
    return EngineError(f"The file {path} was not written whole ({said}): the disk is probably full, so {_ADVICE}")


@contextmanager
def written_whole(path: Path) -> Iterator[None]:
    """Turn what libraries say while a growing file is written, or read again, into words.

    Raises:
        EngineError: the disk is full, or the file is damaged.
    """
    try:
        yield
    except _LIBRARY_ERRORS as error:
        raise not_whole(path, str(error.__cause__ or error)) from error
    except OSError as error:
        if not is_full(error) and error.errno is not None:
            raise
        raise full_disk(path) if is_full(error) else not_whole(path, str(error)) from error
