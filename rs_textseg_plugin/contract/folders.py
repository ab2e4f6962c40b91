"""Where the plugin's own files lie, and the user's data."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# Not resolved: where the plugin's folder is made of links, the folder of the links is the plugin.
PACKAGE_FOLDER = Path(__file__).parents[1]


def package_file(name: str) -> Path:
    """Return the path of `name` inside the plugin's folder, or beside the package in a plain checkout.

    Where the file is in neither place, the path inside the plugin's folder is returned.
    """
    inside, beside = PACKAGE_FOLDER / name, PACKAGE_FOLDER.parent / name
    return beside if beside.exists() and not inside.exists() else inside


def data_home() -> Path:
    """Return the product's folder below the user's data folder; it may not exist yet."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", str(Path.home()))) / "rs_textseg"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "rs_textseg"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "rs_textseg"
