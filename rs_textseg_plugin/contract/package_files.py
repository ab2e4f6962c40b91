"""Files that belong to the plugin and are no code."""

from __future__ import annotations

from pathlib import Path

# Not resolved: where the plugin's folder is made of links, the folder of the links is the plugin.
PACKAGE_FOLDER = Path(__file__).parents[1]


def package_file(name: str) -> Path:
    """Return the path of `name` inside the plugin's folder, or beside the package in a plain checkout.

    Where the file is in neither place, the path inside the plugin's folder is returned.
    """
    inside, beside = PACKAGE_FOLDER / name, PACKAGE_FOLDER.parent / name
    return beside if beside.exists() and not inside.exists() else inside
