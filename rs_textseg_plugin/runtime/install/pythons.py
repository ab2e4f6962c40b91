"""Which Pythons of this computer the engine's environment can be made from."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from rs_textseg_plugin.runtime.child_environment import bundle_folder, child_environment, is_in
from rs_textseg_plugin.runtime.install.machine import Machine
from rs_textseg_plugin.runtime.line_process import output_of

Version = tuple[int, int]

_PROBE_S = 30.0
_FLATPAK = Path("/.flatpak-info")
# A venv's Python names the one that it was made from; -I keeps the user's own packages and variables out.
_PROBE = """
import importlib.util, json, os, platform, struct, sys, sysconfig
own = getattr(sys, "_base_executable", sys.executable)
try:
    import ssl
    has_ssl = True
except ImportError:
    has_ssl = False
print(json.dumps({
    "path": own,
    "prefix": sys.base_prefix,
    "version": list(sys.version_info[:2]),
    "is_final": sys.version_info.releaselevel == "final",
    "is_cpython": platform.python_implementation() == "CPython",
    "bits": 8 * struct.calcsize("P"),
    "processor": platform.machine().lower(),
    "has_ssl": has_ssl,
    "has_gil": not sysconfig.get_config_var("Py_GIL_DISABLED"),
    "has_venv": importlib.util.find_spec("venv") is not None and importlib.util.find_spec("ensurepip") is not None,
    "is_conda": os.path.isdir(os.path.join(sys.base_prefix, "conda-meta")),
}))
"""


@dataclass(frozen=True)
class BasePython:
    """A Python that was asked what it is.

    Attributes:
        path: of its program.
        version: major and minor.
        prefix: its folder.
        has_venv: whether it can make an environment by itself; Debian leaves that to a package of its own.
        is_conda: whether it is conda's, which may miss libraries outside its activated environment.
    """

    path: Path
    version: Version
    prefix: Path
    has_venv: bool
    is_conda: bool


def find_pythons(versions: Sequence[Version], machine: Machine) -> list[BasePython]:
    """Return the Pythons of some versions that can be a base, in the order of the versions, conda's last."""
    inherited = os.environ
    cleaned = child_environment(inherited, bundle_folder(sys.executable, inherited))
    found: dict[Path, BasePython] = {}
    for path in _existing(candidates(versions, machine.system, cleaned)):
        python = ask(path, machine)
        if python is not None and python.version in versions:
            found.setdefault(python.prefix.resolve(), python)
    return sorted(found.values(), key=lambda python: (python.is_conda, versions.index(python.version)))


def candidates(versions: Sequence[Version], system: str, environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield where Pythons of these versions may be, without looking.

    Args:
        versions: major and minor.
        system: as in `sys.platform`.
        environ: variables of a child; its PATH is searched.
    """
    folders = [Path(folder) for folder in environ.get("PATH", "").split(os.pathsep) if folder]
    names = [f"python{major}.{minor}" for major, minor in versions]
    uv_home = Path(environ.get("UV_PYTHON_INSTALL_DIR") or Path.home() / ".local" / "share" / "uv" / "python")
    if system == "win32":
        yield from _registered(versions)
        yield from uv_home.glob("cpython-*/python.exe")
        return
    if system == "darwin":
        yield from (Path("/opt/homebrew/bin", name) for name in names)
        frameworks = Path("/Library/Frameworks/Python.framework/Versions")
        yield from (frameworks / name[6:] / "bin" / name for name in names)
    yield from (folder / name for name in names for folder in (*folders, Path("/usr/bin"), Path("/usr/local/bin")))
    yield from (folder / "python3" for folder in folders)
    yield from uv_home.glob("cpython-*/bin/python3")
    if _FLATPAK.is_file():  # nothing else is in there, and the host's Pythons cannot be started
        yield Path(sys.base_prefix, "bin", "python3")


def ask(path: Path, machine: Machine) -> BasePython | None:
    """Start a Python and return what it is; None where it cannot be the base of an environment."""
    command = [str(path), "-I", "-c", _PROBE]
    bundle = bundle_folder(sys.executable, os.environ)
    try:
        told = json.loads(output_of(command, child_environment(os.environ, bundle), _PROBE_S))
    except ValueError:
        return None
    if why_unfit(told, machine, bundle):
        return None
    version = (int(told["version"][0]), int(told["version"][1]))
    return BasePython(Path(told["path"]), version, Path(told["prefix"]), told["has_venv"], told["is_conda"])


def why_unfit(told: Mapping[str, object], machine: Machine, bundle: PurePath | None) -> str:
    """Return why a Python cannot be a base, from what it told; empty: it can.

    Args:
        told: see `_PROBE`.
        machine: this computer.
        bundle: QGIS's own folder; None: there is none.
    """
    place = f"{told['path']}".replace("\\", "/")
    processor = {"amd64": "x86_64", "aarch64": "arm64"}.get(f"{told['processor']}", told["processor"])
    if "/WindowsApps/" in place:
        return "it is the Store's, which hides what it writes from QGIS"
    if bundle is not None and is_in(f"{told['path']}", bundle):
        return "it is QGIS's own"
    if machine.system == "darwin" and place.startswith(("/usr/bin/", "/Library/Developer/", "/Applications/Xcode")):
        return "it is the system's, for which Apple promises nothing"
    if told["bits"] != 64 or processor != machine.processor:
        return "it is made for another processor"
    if not (told["is_cpython"] and told["is_final"] and told["has_gil"]):
        return "no packages are made for it"
    return "" if told["has_ssl"] else "it cannot download over https"


def _existing(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield what is there, each real file once; on a Mac never the system's stub, which would offer to install."""
    seen = set[Path]()
    for path in paths:
        real = Path(os.path.realpath(path))
        is_stub = sys.platform == "darwin" and real.parent == Path("/usr/bin")
        if real not in seen and not is_stub and real.is_file():
            seen.add(real)
            yield path


def _registered(versions: Sequence[Version]) -> Iterator[Path]:
    """Yield the Pythons that python.org's installer and others enter into the registry of Windows."""
    if sys.platform != "win32":
        return
    import winreg

    for hive in (winreg.HKEY_CURRENT_USER, winreg.HKEY_LOCAL_MACHINE):
        for major, minor in versions:
            try:
                with winreg.OpenKey(hive, rf"Software\Python\PythonCore\{major}.{minor}\InstallPath") as key:
                    folder, _ = winreg.QueryValueEx(key, "")
            except OSError:
                continue
            yield Path(folder, "python.exe")
