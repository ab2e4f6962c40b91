"""What the children of QGIS see of its environment: the user's things, and none of those that QGIS set for itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import PurePath, PurePosixPath, PureWindowsPath

# Set by QGIS or by an activated environment for another Python, PROJ and GDAL; the engine brings other versions of all
# three, and a PROJ database of another version makes every EPSG code unknown.
_DROPPED = frozenset(
    {
        "GDAL_CONFIG_FILE",
        "GDAL_DATA",
        "GDAL_DRIVER_PATH",
        "LD_PRELOAD",
        "PROJ_AUX_DB",
        "PROJ_DATA",
        "PROJ_LIB",
        "VIRTUAL_ENV",
        "__PYVENV_LAUNCHER__",
    }
)
_DROPPED_PREFIXES = ("PYTHON", "CONDA_", "DYLD_", "QT_", "OPENSSL_")
# What the user may have set, and QGIS too: only what lies in QGIS's folder goes.
_LISTS = ("PATH", "LD_LIBRARY_PATH")
_PLACES = ("SSL_CERT_FILE", "SSL_CERT_DIR")

# glibc gives large blocks back to the kernel at each free, and the next tile pays for every page again. Keeping
# them makes SAM's encoder 1.1 to 2 times as fast on a CPU. glibc reads both only when a process starts.
_KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000"}
_SYSTEM_PREFIXES = ("/", "/usr", "/usr/local")


def worker_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables for the engine, from those of this process."""
    tuned = _KEEP_MEMORY if sys.platform.startswith("linux") else {}
    return {**child_environment(inherited, bundle_folder(sys.executable, inherited)), **tuned, "PYTHONUTF8": "1"}


def child_environment(inherited: Mapping[str, str], bundle: PurePath | None) -> dict[str, str]:
    """Return the variables for a child that runs another Python.

    Args:
        inherited: variables of this process.
        bundle: folder of QGIS's own programs and libraries, see `bundle_folder`.
    """
    kept = {}
    for name, value in inherited.items():
        if name.upper() in _DROPPED or name.upper().startswith(_DROPPED_PREFIXES):
            continue
        left = _outside(value, bundle) if name.upper() in (*_LISTS, *_PLACES) else value
        if left or not value:
            kept[name] = left
    return kept


def bundle_folder(executable: str, inherited: Mapping[str, str], platform: str = sys.platform) -> PurePath | None:
    """Return the folder that holds QGIS with all its libraries; None where these are the system's.

    Args:
        executable: of this process; inside QGIS it can be QGIS itself.
        inherited: variables of this process.
        platform: as in `sys.platform`.
    """
    if platform == "win32":
        root = inherited.get("OSGEO4W_ROOT", "")
        # C:\Program Files\QGIS 3.40\bin\qgis-bin.exe, and Python in ...\apps\Python312
        above = PureWindowsPath(executable).parents
        names = [folder.name.casefold() for folder in above]
        inside = next((above[i + 1] for i, name in enumerate(names[:-1]) if name in ("bin", "apps")), None)
        return PureWindowsPath(root) if root else inside
    if platform == "darwin":
        return next((folder for folder in PurePosixPath(executable).parents if folder.suffix == ".app"), None)
    prefix = inherited.get("APPDIR") or inherited.get("QGIS_PREFIX_PATH", "")
    return PurePosixPath(prefix) if prefix and prefix.rstrip("/") not in ("", *_SYSTEM_PREFIXES) else None


def _outside(value: str, bundle: PurePath | None) -> str:
    """Return a list of places without those in a folder."""
    if bundle is None:
        return value
    separator = ";" if isinstance(bundle, PureWindowsPath) else os.pathsep
    return separator.join(place for place in value.split(separator) if place and not is_in(place, bundle))


def is_in(place: str, folder: PurePath) -> bool:
    """Whether a place is a folder or lies in it, as the folder's system compares names."""
    path = type(folder)(place.strip('"'))
    return path == folder or folder in path.parents
