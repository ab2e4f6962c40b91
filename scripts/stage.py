#!/usr/bin/env python3
"""Writes the plugin folder as QGIS wants it: the package with metadata, resources and licence inside.

In the repository these stand beside the package. This script is the only place that knows; the tests, the
developer's QGIS profile and the zip all use what it writes.

    scripts/stage.py DESTINATION [--link]
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "rs_textseg_plugin"
BESIDE_THE_PACKAGE = (
    "metadata.txt",
    "resources",
    "LICENSE",
    "requirements.txt",
    "requirements-lock.txt",
    "requirements-lock.json",
    "CHANGELOG.md",
)
NEVER_STAGED = shutil.ignore_patterns("__pycache__", "*.pyc", "*.pyo", ".*", "*~", "*.orig", "*.rej")


def stage(destination: Path, link: bool = False) -> Path:
    """Write ``destination/rs_textseg_plugin``, replacing an earlier one, and return it.

    Args:
        destination: an existing or new folder; for QGIS, a profile's ``python/plugins``.
        link: make symbolic links to the checkout in place of copies, so that edits need no new staging.

    Raises:
        FileNotFoundError: something that belongs into the plugin is missing from the checkout.
        FileExistsError: the place is taken by something that is no plugin.
    """
    sources = plugin_sources()
    target = destination.absolute() / PACKAGE
    _clear(target)
    target.mkdir(parents=True)
    for source in sources:
        _place(source, target / source.name, link)
    return target


def plugin_sources() -> list[Path]:
    """Return the files and folders of the checkout that become the plugin's folder.

    Raises:
        FileNotFoundError: one of them is missing.
    """
    beside = [ROOT / name for name in BESIDE_THE_PACKAGE]
    missing = [path.name for path in beside if not path.exists()]
    if missing:
        raise FileNotFoundError(f"{ROOT} lacks {', '.join(missing)}: the plugin cannot be staged without.")
    children = sorted((ROOT / PACKAGE).iterdir())
    ignored = NEVER_STAGED(str(ROOT / PACKAGE), [path.name for path in children])
    return [path for path in children if path.name not in ignored] + beside


def _clear(target: Path) -> None:
    if target.is_symlink():
        target.unlink()
    elif target.is_dir() and (not any(target.iterdir()) or (target / "metadata.txt").exists()):
        shutil.rmtree(target)  # removes links, not what they point to
    elif target.exists():
        raise FileExistsError(f"{target} exists and is no staged plugin: move it away or choose another folder.")


def _place(source: Path, target: Path, link: bool) -> None:
    if link:
        target.symlink_to(source, target_is_directory=source.is_dir())
    elif source.is_dir():
        shutil.copytree(source, target, ignore=NEVER_STAGED)
    else:
        shutil.copyfile(source, target)


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Writes DESTINATION/rs_textseg_plugin, the folder that QGIS loads.")
    parser.add_argument("destination", type=Path)
    parser.add_argument("--link", action="store_true", help="link to the checkout in place of copying")
    arguments = parser.parse_args()
    try:
        print(stage(arguments.destination, arguments.link))
    except OSError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
