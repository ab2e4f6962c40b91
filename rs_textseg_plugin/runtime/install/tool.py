"""The program that makes an environment and fills it: uv where it can be had, else venv and pip."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rs_textseg_plugin.runtime.environment import interpreter_in
from rs_textseg_plugin.runtime.install.sources import PackageSources

UV = "uv>=0.5"
# Wheels only: a source package would run its own code, and need a compiler.
_ONLY_WHEELS = ("--only-binary", ":all:")
# uv stops at the first index that has a package in any version; pip looks into all that the user named.
_AS_PIP = ("--no-config", "--index-strategy", "unsafe-best-match")


@dataclass(frozen=True)
class Tool:
    """Commands of uv, or of venv and pip.

    Attributes:
        uv: its program; empty: venv and pip.
        cache: folder for what is downloaded.
    """

    uv: tuple[str, ...]
    cache: Path

    def make(self, base: Path, environment: Path) -> list[str]:
        """Return the command that makes an environment from a Python."""
        if self.uv:
            return [*self.uv, "venv", "--no-config", "--no-project", "--clear", "--python", str(base), str(environment)]
        return [str(base), "-I", "-m", "venv", "--clear", str(environment)]

    def install(
        self, environment: Path, wanted: Sequence[str], sources: PackageSources, alone: bool = True
    ) -> list[str]:
        """Return the command that installs into an environment.

        Args:
            environment: its folder.
            wanted: requirements and options about them.
            sources: of the packages.
            alone: whether what is named is all that comes; else what it needs comes too.
        """
        python = str(interpreter_in(environment))
        only = ("--no-deps",) if alone else ()
        common = [*_ONLY_WHEELS, "--cache-dir", str(self.cache), *only, *sources.options, *wanted]
        if self.uv:
            return [*self.uv, "pip", "install", *_AS_PIP, "--python", python, *common]
        quiet = ("--no-input", "--disable-pip-version-check", "--progress-bar", "off", "--no-warn-script-location")
        return [python, "-I", "-m", "pip", "install", *quiet, *common]


def tool_variables(sources: PackageSources) -> Mapping[str, str]:
    """Return what the tools read from their environment, proxy and certificates among it."""
    return {
        "PIP_CONFIG_FILE": os.devnull,
        "UV_SYSTEM_CERTS": "true",
        "UV_NATIVE_TLS": "true",  # its name in older versions
        "UV_HTTP_TIMEOUT": "120",
        "UV_LINK_MODE": "copy",  # the cache goes afterwards
        "UV_NO_PROGRESS": "1",
        **sources.variables,
    }


def uv_at_hand(search: str) -> tuple[str, ...]:
    """Return uv's program if it lies in the folders of a search path; else nothing."""
    found = shutil.which("uv", path=search)
    return (found,) if found else ()
