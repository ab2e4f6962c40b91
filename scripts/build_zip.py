#!/usr/bin/env python3
"""Builds the zip that QGIS's plugin site takes, and refuses one that the site would refuse.

The same files give the same bytes: entries are sorted, dates and permissions are fixed.

    scripts/build_zip.py [OUT.zip] [--release]

A release is refused while the addresses in metadata.txt are placeholders.
"""

from __future__ import annotations

import argparse
import configparser
import re
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from stage import PACKAGE, ROOT, stage

# The rules of the site's validator (QGIS-Plugins-Website, qgis-app/plugins/validator.py, 4.1).
SIZE_LIMIT_BYTES = 25_000_000
REQUIRED_FILES = ("__init__.py", "metadata.txt", "LICENSE")
REQUIRED_KEYS = (
    "name",
    "description",
    "version",
    "qgisMinimumVersion",
    "author",
    "email",
    "about",
    "tracker",
    "repository",
)
ADDRESSES = ("email", "homepage", "repository", "tracker")
PLACEHOLDER = "example."
FORBIDDEN_PARTS = ("__pycache__", "__MACOSX", ".git", "..")
ICON_SUFFIXES = (".png", ".jpg", ".jpeg")
FIXED_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that the format knows


def build_zip(out: Path, is_release: bool = False) -> Path:
    """Stage the plugin, pack it into `out`, and return `out`.

    Raises:
        ValueError: the zip breaks rules of the plugin site, or is a release with placeholders; it is left in place for
            inspection.
        OSError: something is missing from the checkout, or `out` cannot be written.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        _pack(stage(Path(folder)), out)
    problems = find_problems(out) + (find_placeholders(ROOT / "metadata.txt") if is_release else [])
    if problems:
        raise ValueError(f"{out} would be refused by the plugin site:\n" + "\n".join(f"- {line}" for line in problems))
    return out


def _pack(plugin: Path, out: Path) -> None:
    files = sorted(path for path in plugin.rglob("*") if path.is_file())
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in files:
            entry = zipfile.ZipInfo(path.relative_to(plugin.parent).as_posix(), FIXED_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, whatever the machine, so that the permissions below mean something
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, path.read_bytes())


def find_problems(path: Path) -> list[str]:
    """Return what the plugin site would refuse about a zip, one sentence each; empty if nothing."""
    problems = []
    if path.stat().st_size > SIZE_LIMIT_BYTES:
        problems.append(f"it has {path.stat().st_size} bytes, more than the {SIZE_LIMIT_BYTES} that are allowed")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        problems += _problems_of_names(names)
        if f"{PACKAGE}/metadata.txt" in names:
            problems += _problems_of_metadata(archive.read(f"{PACKAGE}/metadata.txt"), names)
    return problems


def find_placeholders(metadata: Path) -> list[str]:
    """Return the keys of metadata.txt that name a domain which is reserved for examples, one sentence each."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(metadata, encoding="utf-8")
    values = {key: parser["general"].get(key, "") for key in ADDRESSES}
    return [
        f"{key}={value} is a placeholder: write the real address"
        for key, value in values.items()
        if PLACEHOLDER in value
    ]


def _problems_of_names(names: list[str]) -> list[str]:
    problems = [f"{PACKAGE}/{name} is missing" for name in REQUIRED_FILES if f"{PACKAGE}/{name}" not in names]
    tops = sorted({name.split("/")[0] for name in names})
    if tops != [PACKAGE]:
        problems.append(f"its top folders are {tops}, not just {PACKAGE}")
    for name in names:
        parts = PurePosixPath(name).parts
        if any(part in FORBIDDEN_PARTS or part.endswith(".pyc") for part in parts) or "\\" in name or ":" in name:
            problems.append(f"the name {name!r} is not allowed")
    return problems


def _problems_of_metadata(content: bytes, names: list[str]) -> list[str]:
    try:
        parser = configparser.ConfigParser(interpolation=None)
        parser.optionxform = str  # type: ignore[assignment,method-assign]  # the keys are in camel case
        parser.read_string(content.decode("utf-8"))
        values = dict(parser["general"])
    except (UnicodeDecodeError, configparser.Error, KeyError) as error:
        return [f"metadata.txt cannot be read ({type(error).__name__}: {error})"]
    problems = [f"metadata.txt lacks {key}" for key in REQUIRED_KEYS if not values.get(key, "").strip()]
    if "/" in values.get("author", ""):
        problems.append(f"the author {values['author']!r} holds a slash")
    if not re.fullmatch(r"\d+\.\d+\.\d+", values.get("version", "")):
        problems.append(f"the version {values.get('version')!r} is not three numbers")
    icon = values.get("icon", "")
    if icon and (PurePosixPath(icon).suffix not in ICON_SUFFIXES or f"{PACKAGE}/{icon}" not in names):
        problems.append(f"the icon {icon!r} is no PNG or JPEG in the zip")
    return problems


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Builds the plugin's zip.")
    parser.add_argument("out", type=Path, nargs="?", default=ROOT / "build" / f"{PACKAGE}.zip")
    parser.add_argument("--release", action="store_true", help="refuse placeholder addresses")
    options = parser.parse_args()
    try:
        out = build_zip(options.out, options.release)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{out} ({out.stat().st_size / 1e6:.2f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
