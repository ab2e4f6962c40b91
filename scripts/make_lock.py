#!/usr/bin/env python3
"""Writes the lock of the engine's Python environment from requirements.txt: one version and digest for each package.

scripts/make_lock.py [--uv PROGRAM] [--index ADDRESS]

uv finds the versions, the same ones for every Python and system as far as that goes. Torch and torchvision are pinned
beside the lock, for they come in builds for several devices; what only they bring for CUDA is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

import tomllib

from stage import ROOT

sys.path.insert(0, str(ROOT))

from rs_textseg_plugin.contract.errors import EngineUnavailable
from rs_textseg_plugin.runtime.install.lock import REQUIREMENTS, WHEELS, Pin, Target, fit_of, read_lock, read_pins

TORCH = {"torch": "2.13.0", "torchvision": "0.28.0"}
PYTHONS = ((3, 11), (3, 12), (3, 13), (3, 14))
# The oldest systems that torch has wheels for.
SYSTEMS = (("linux", "x86_64"), ("linux", "arm64"), ("win32", "x86_64"), ("darwin", "arm64"))
OLDEST_GLIBC, OLDEST_MACOS, NEWEST = (2, 28), (14, 0), (99, 0)
ONLY_FOR_CUDA = ("triton", "nvidia-", "cuda-")  # beginnings of names
HEADER = """\
# The packages of the engine's own Python environment, without torch and torchvision: every version, with the digests
# of the wheels for Python {pythons} on Linux, Windows and macOS. Written by scripts/make_lock.py from
# requirements.txt; pip takes nothing else with --require-hashes --no-deps.
"""

Files = Mapping[tuple[str, str], Sequence["File"]]  # by name and version of the package


@dataclass(frozen=True)
class File:
    """A wheel of the index: its name, its digest of 64 hexadecimal digits, and its size in bytes."""

    name: str
    sha256: str
    size_bytes: int


def project_text(requirements: str) -> str:
    """Return the pyproject.toml of a project that needs what a requirements file lists."""
    lines = (line.split("#")[0].strip() for line in requirements.splitlines())
    (_, first), (major, last) = PYTHONS[0], PYTHONS[-1]
    constraints = [f"{name}=={version}" for name, version in TORCH.items()]
    machines = [(system, Target(PYTHONS[0], system, processor).machine[0]) for system, processor in SYSTEMS]
    required = [f"sys_platform == '{system}' and platform_machine == '{machine}'" for system, machine in machines]
    return f"""\
[project]
name = "engine"
version = "0"
requires-python = ">={major}.{first},<{major}.{last + 1}"
dependencies = {json.dumps([line for line in lines if line])}

[tool.uv]
constraint-dependencies = {json.dumps(constraints)}
required-environments = {json.dumps(required)}
"""


def resolve(uv: str, requirements: str, index: str = "") -> tuple[str, str]:
    """Let uv choose versions, and return the text of its lock and the pins with their markers.

    Args:
        uv: the program.
        requirements: text of a requirements file.
        index: address of a mirror; empty: the public index.

    Raises:
        subprocess.CalledProcessError: there are no such versions, or the index cannot be reached.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("UV_")}
    common = ["--no-config", "--no-python-downloads", "--python", sys.executable]
    chosen = ["--fork-strategy", "fewest", *(["--default-index", index] if index else [])]
    plain = ["--frozen", "--no-hashes", "--no-annotate", "--no-header", "--no-emit-project"]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "pyproject.toml").write_text(project_text(requirements), encoding="utf-8")
        for command in (["lock", *chosen], ["export", *plain, "--output-file", "pins.txt", "--quiet"]):
            subprocess.run([uv, *command, *common], cwd=folder, env=environment, check=True)
        return _text(folder, "uv.lock"), _text(folder, "pins.txt")


def _text(folder: str, name: str) -> str:
    return (Path(folder) / name).read_text(encoding="utf-8")


def read_files(lock: str) -> Files:
    """Return the wheels that uv's lock lists, source packages left out.

    Raises:
        ValueError: a wheel has no size or digest.
    """
    return {
        (package["name"], package["version"]): [_file(wheel) for wheel in package.get("wheels", ())]
        for package in tomllib.loads(lock)["package"]
    }


def _file(wheel: Mapping[str, object]) -> File:
    name = unquote(str(wheel["url"]).split("/")[-1])
    kind, _, digest = str(wheel.get("hash")).partition(":")
    if kind != "sha256" or not isinstance(wheel.get("size"), int):
        raise ValueError(f"The index tells no sha256 or no size for {name}: take another one with --index.")
    return File(name, digest, int(str(wheel["size"])))


def all_targets(python: tuple[int, int]) -> list[Target]:
    """Return the oldest systems for a Python."""
    return [
        Target(
            python,
            system,
            processor,
            OLDEST_GLIBC if system == "linux" else (0, 0),
            OLDEST_MACOS if system == "darwin" else (0, 0),
        )
        for system, processor in SYSTEMS
    ]


def needed_pins(pins: Iterable[Pin]) -> list[Pin]:
    """Return the pins that some target needs, without what is only for CUDA; a marker that always holds is dropped."""
    targets = [target for python in PYTHONS for target in all_targets(python)]
    needed = []
    for pin in pins:
        held = [pin.is_for(target) for target in targets]
        if any(held) and not pin.name.startswith(ONLY_FOR_CUDA):
            needed.append(replace(pin, marker="") if all(held) else pin)
    return sorted(needed, key=lambda pin: (pin.name, pin.version))


def find_missing(pins: Iterable[Pin], files: Files, python: tuple[int, int]) -> list[str]:
    """Return in words which packages have no wheel for a Python on which of the oldest systems."""
    return [
        f"{pin.name} {pin.version} has no wheel for {target}"
        for target in all_targets(python)
        for pin in pins
        if pin.is_for(target) and not any(fit_of(file.name, target) for file in files.get((pin.name, pin.version), ()))
    ]


def usable_files(pin: Pin, files: Files, pythons: Iterable[tuple[int, int]]) -> list[File]:
    """Return the wheels of a package that fit a Python on one of the systems, old or new."""
    targets = [
        replace(target, libc=NEWEST, system_version=NEWEST) for python in pythons for target in all_targets(python)
    ]
    targets = [target for target in targets if pin.is_for(target)]
    return [file for file in files[pin.name, pin.version] if any(fit_of(file.name, target) for target in targets)]


def requirements_text(wheels: Mapping[Pin, Sequence[File]], pythons: Sequence[tuple[int, int]]) -> str:
    """Return pip's requirements file: a pin with its marker, then a digest a line."""
    versions = [f"{major}.{minor}" for major, minor in pythons]
    blocks = [HEADER.format(pythons=f"{versions[0]} to {versions[-1]}")]
    for pin, files in wheels.items():
        if pin.name not in TORCH:
            hashes = [f"    --hash=sha256:{digest}" for digest in sorted({file.sha256 for file in files})]
            marker = f" ; {pin.marker}" if pin.marker else ""
            blocks.append(" \\\n".join([f"{pin.name}=={pin.version}{marker}", *hashes]) + "\n")
    return "".join(blocks)


def wheels_text(wheels: Mapping[Pin, Sequence[File]], pythons: Sequence[tuple[int, int]]) -> str:
    """Return the table of Pythons, torch's versions, and every wheel's digest and size, as JSON."""
    about = {
        file.name: {"sha256": in_groups(file.sha256), "size_bytes": file.size_bytes}
        for files in wheels.values()
        for file in files
    }
    told = {"pythons": [f"{major}.{minor}" for major, minor in pythons], "torch": TORCH, "wheels": about}
    return json.dumps(told, indent=2, sort_keys=True) + "\n"


def in_groups(digest: str) -> str:
    """Return a digest in groups of eight, which no scanner takes for a secret."""
    return " ".join(digest[at : at + 8] for at in range(0, len(digest), 8))


def make_lock(lock: str, exported: str) -> tuple[str, str]:
    """Return the texts of both files of the lock from uv's lock and its pins.

    Raises:
        ValueError: for no Python there are wheels of all packages on all systems.
    """
    files, pins = read_files(lock), needed_pins(read_pins(exported))
    missing = {python: find_missing(pins, files, python) for python in PYTHONS}
    for python, sentences in missing.items():
        print(f"Python {python[0]}.{python[1]}: {'; '.join(sentences) or 'a wheel for every package and system'}")
    pythons = [python for python, sentences in missing.items() if not sentences]
    if not pythons:
        raise ValueError("No Python has wheels of all packages: lower a requirement in requirements.txt.")
    wheels = {pin: usable_files(pin, files, pythons) for pin in pins}
    return requirements_text(wheels, pythons), wheels_text(wheels, pythons)


def print_sizes() -> None:
    """Print what the lock that was written amounts to on each system."""
    lock = read_lock()
    for python in lock.pythons:
        for target in all_targets(python):
            wheels = lock.wheels(target)
            rest = sum(wheel.size_bytes for wheel in wheels if wheel.name not in TORCH)
            torch = sum(wheel.size_bytes for wheel in wheels) - rest
            print(f"{target}: {len(wheels)} wheels, {rest / 1e6:.0f} MB and torch with {torch / 1e6:.0f} MB")


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Writes requirements-lock.txt and .json from requirements.txt.")
    parser.add_argument("--uv", default=shutil.which("uv"), help="the program uv (default: the one on the path)")
    parser.add_argument("--index", default="", help="address of a mirror (default: the public index)")
    options = parser.parse_args()
    if not options.uv:
        parser.error("uv is not on the path: name it with --uv")
    try:
        resolved = resolve(options.uv, (ROOT / "requirements.txt").read_text(encoding="utf-8"), options.index)
        for name, text in zip((REQUIREMENTS, WHEELS), make_lock(*resolved)):
            (ROOT / name).write_text(text, encoding="utf-8", newline="\n")
        print_sizes()
    except (OSError, ValueError, subprocess.CalledProcessError, EngineUnavailable) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
