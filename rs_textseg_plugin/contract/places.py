"""Folders of the user that more than one ring knows."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def data_home() -> Path:
    """Return the product's folder below the user's data folder; it may not exist yet."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", str(Path.home()))) / "rs_textseg"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "rs_textseg"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "rs_textseg"
