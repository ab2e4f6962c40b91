"""Where packages come from: what the user told pip, for whatever tool installs them.

The installer's children get no variable of pip's and no file of its settings: an option for another folder or for the
user's own packages would put the engine elsewhere. What says where packages come from is read here and handed on.
"""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_SECTIONS = ("global", "install")  # the later one counts
_LISTS = ("extra-index-url", "find-links")


@dataclass(frozen=True)
class PackageSources:
    """Places of packages, and how they are reached.

    Attributes:
        index: address of the index in place of the public one; empty: the public one.
        more_indexes: addresses of others.
        folders: folders and pages with wheels.
        proxy: address, a login may be part of it; empty: as the variables of the process have it.
        certificates: file of the authorities that are trusted; empty: the system's.
        only_folders: whether no index is asked.
    """

    index: str = ""
    more_indexes: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    proxy: str = ""
    certificates: str = ""
    only_folders: bool = False

    @classmethod
    def from_folder(cls, wheels: Path) -> PackageSources:
        """Return the sources of an installation without a network."""
        return cls(folders=(str(wheels),), only_folders=True)

    def may_have(self, package: str) -> bool:
        """Whether a package can be there; only folders are looked into."""
        folders = [Path(place) for place in self.folders]
        return not self.only_folders or any(list(folder.glob(f"{package}-*.whl")) for folder in folders)

    @property
    def options(self) -> list[str]:
        """Options that pip and uv have in common."""
        options = ["--no-index"] if self.only_folders else []
        options += ["--index-url", self.index] if self.index and not self.only_folders else []
        for address in () if self.only_folders else self.more_indexes:
            options += ["--extra-index-url", address]
        for folder in self.folders:
            options += ["--find-links", folder]
        return options

    @property
    def variables(self) -> dict[str, str]:
        """Variables for pip and uv: how they reach the places. A proxy's password is in no command line."""
        proxy = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), self.proxy)
        trusted = dict.fromkeys(("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), self.certificates)
        return {name: value for name, value in {**proxy, **trusted}.items() if value}


def user_sources(inherited: Mapping[str, str]) -> PackageSources:
    """Return what the user told pip: in its files, in the order in which pip reads them, and in its variables."""
    values: dict[str, str] = {}
    for path in _files(inherited):
        values.update(_read(path))
    values.update(_of_variables(inherited))
    lists = {name: tuple(values.get(name, "").split()) for name in _LISTS}
    return PackageSources(
        index=values.get("index-url", ""),
        more_indexes=lists["extra-index-url"],
        folders=tuple(str(Path(p).expanduser()) if p.startswith("~") else p for p in lists["find-links"]),
        proxy=values.get("proxy", ""),
        certificates=values.get("cert", ""),
        only_folders=values.get("no-index", "").lower() in ("1", "true", "yes", "on"),
    )


def _files(inherited: Mapping[str, str]) -> Iterator[Path]:
    """Yield the files of pip's settings, the least important first."""
    named = inherited.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return
    yield from _files_of_system(inherited)
    if named and Path(named).is_file():
        yield Path(named)  # in place of the user's
    else:
        yield from _files_of_user(inherited)


def _files_of_system(inherited: Mapping[str, str]) -> Iterator[Path]:
    if sys.platform == "win32":
        yield Path(inherited.get("PROGRAMDATA", r"C:\ProgramData"), "pip", "pip.ini")
    elif sys.platform == "darwin":
        yield Path("/Library/Application Support/pip/pip.conf")
    else:
        for folder in reversed((inherited.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")):
            yield Path(folder, "pip", "pip.conf")
        yield Path("/etc/pip.conf")


def _files_of_user(inherited: Mapping[str, str]) -> Iterator[Path]:
    home = Path.home()
    if sys.platform == "win32":
        yield home / "pip" / "pip.ini"
        yield Path(inherited.get("APPDATA", home), "pip", "pip.ini")
        return
    yield home / ".pip" / "pip.conf"
    if sys.platform == "darwin":
        yield home / "Library" / "Application Support" / "pip" / "pip.conf"
    yield Path(inherited.get("XDG_CONFIG_HOME") or home / ".config", "pip", "pip.conf")


def _read(path: Path) -> dict[str, str]:
    """Return the settings of a file; none where it is not there or is no such file, which pip itself will not use."""
    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError, OSError):
        return {}
    sections = [parser[name] for name in _SECTIONS if parser.has_section(name)]
    return {key.replace("_", "-"): value for section in sections for key, value in section.items()}


def _of_variables(inherited: Mapping[str, str]) -> dict[str, str]:
    named = {name[4:].lower().replace("_", "-"): value for name, value in inherited.items() if name.startswith("PIP_")}
    return {name: value for name, value in named.items() if value}
