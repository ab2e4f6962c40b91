"""Files of model sets that are written whole or not at all, in words of where models lie."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from rs_textseg_plugin.contract.errors import EngineError


@contextmanager
def in_words(target: Path) -> Iterator[None]:
    """Turn what the system says of a file that cannot be written into words.

    Raises:
        EngineError: see above.
    """
    try:
        yield
    except OSError as error:
        raise EngineError(
            f"The file {target} could not be written ({error.strerror or error}): make room there and check the "
            "permissions, or name another place for models in RS_TEXTSEG_MODELS."
        ) from error


@contextmanager
def growing_file(target: Path) -> Iterator[BinaryIO]:
    """Hand out a file that takes the target's name if all goes well, and is removed if not.

    Raises:
        EngineError: it cannot be written.
    """
    with in_words(target):
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        part = Path(name)
        try:
            with os.fdopen(handle, "wb") as growing:
                yield growing
                growing.flush()
                os.fsync(growing.fileno())
            part.chmod(0o666 & ~_umask())
            part.replace(target)
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)  # gone already where all went well


def _umask() -> int:
    """Return the mode bits that new files of this process lack; ``mkstemp`` takes all but the owner's."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
