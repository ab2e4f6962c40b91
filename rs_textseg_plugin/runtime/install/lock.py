"""The lock: which version of each package the engine's environment gets, and which wheels are taken for a computer.

Sources: the Python packaging specifications "Platform compatibility tags" and "Dependency specifiers". Of the latter
only what a lock holds is understood.
"""

from __future__ import annotations

import hashlib
import json
import operator
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Optional

from rs_textseg_plugin.contract.errors import EngineUnavailable
from rs_textseg_plugin.contract.folders import package_file

REQUIREMENTS, WHEELS = "requirements-lock.txt", "requirements-lock.json"
Fit = tuple[int, int, int, int, int]  # the lowest fits best

_SYSTEMS = {"linux": "Linux", "win32": "Windows", "darwin": "macOS"}
_MACHINES = {  # what Python calls a processor on each system, in markers and in the tags of wheels
    ("linux", "x86_64"): ("x86_64", "x86_64"),
    ("linux", "arm64"): ("aarch64", "aarch64"),
    ("win32", "x86_64"): ("AMD64", "amd64"),
    ("win32", "arm64"): ("ARM64", "arm64"),
}
_OLD_TAGS = {"manylinux1": "manylinux_2_5", "manylinux2010": "manylinux_2_12", "manylinux2014": "manylinux_2_17"}
_PIN = re.compile(r"(?P<name>[\w.-]+)==(?P<version>[\w.!+-]+)(?: ; (?P<marker>[^#]+?))?(?: --hash=\S+)*")
_TOKEN = re.compile(r"\s*(?:((?:and|or)\b|[()])|(\w+)\s*([=!<>]+)\s*(?:'([^']*)'|\"([^\"]*)\"))\s*")
_SIGNS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
# A target has no third number of its Python, so a full version can only be compared with where a minor one begins.
_COMPARABLE = {"python_version": tuple(_SIGNS), "python_full_version": ("<", ">=")}


@dataclass(frozen=True)
class Target:
    """A Python on a computer.

    Attributes:
        python: its version, major and minor; CPython.
        system: as in `sys.platform`.
        processor: ``x86_64`` or ``arm64``.
        libc: version of glibc, major and minor; (0, 0) where it is another library or system.
        system_version: of macOS, major and minor; (0, 0) on other systems.
    """

    python: tuple[int, int]
    system: str
    processor: str
    libc: tuple[int, int] = (0, 0)
    system_version: tuple[int, int] = (0, 0)

    def __str__(self) -> str:
        """Return it in words."""
        system = _SYSTEMS.get(self.system, self.system)
        if self.system == "darwin":
            system = f"{system} {_dotted(self.system_version)}"
        libc = f", glibc {_dotted(self.libc)}" if self.system == "linux" and self.libc != (0, 0) else ""
        return f"Python {_dotted(self.python)} on {system} ({self.processor}{libc})"

    @property
    def variables(self) -> Mapping[str, str]:
        """What the markers of packages ask for."""
        version, (machine, _) = _dotted(self.python), self.machine
        return {
            "python_version": version,
            "python_full_version": version,
            "sys_platform": self.system,
            "platform_machine": machine,
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
        }

    @property
    def machine(self) -> tuple[str, str]:
        """What Python calls the processor on this system, and what the tags of wheels do."""
        return _MACHINES.get((self.system, self.processor), (self.processor, self.processor))


@dataclass(frozen=True)
class Pin:
    """A package with the one version of it that is taken.

    Attributes:
        name: in lower case, with hyphens.
        version: as its wheels have it.
        marker: where it is needed; empty: everywhere.
    """

    name: str
    version: str
    marker: str = ""

    def is_for(self, target: Target) -> bool:
        """Return whether a target needs it.

        Raises:
            ValueError: its marker is not understood.
        """
        return not self.marker or holds(self.marker, target.variables)


@dataclass(frozen=True)
class Wheel:
    """A file of a package.

    Attributes:
        name: of the package, in lower case, with hyphens.
        version: of the package.
        file_name: as the public index has it.
        size_bytes: of the file.
        sha256: of the file, 64 hexadecimal digits.
    """

    name: str
    version: str
    file_name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Lock:
    """All packages of the engine's environment.

    Attributes:
        digest: of both files, 64 hexadecimal digits.
        pythons: versions of Python, major and minor, for which there are wheels on every system; the newest last.
        torch: versions of torch and torchvision, which are installed apart from the others.
        requirements: pip's file of the others, with a digest for each wheel.
        pins: the others.
        files: wheels of the public index by name and version; those of torch for Linux are the ones for CUDA.
    """

    digest: str
    pythons: tuple[tuple[int, int], ...]
    torch: Mapping[str, str]
    requirements: Path
    pins: tuple[Pin, ...]
    files: Mapping[tuple[str, str], tuple[Wheel, ...]]

    def wheels(self, target: Target) -> tuple[Wheel, ...]:
        """Return the wheel that pip takes for each package that a target needs, those of torch first.

        Raises:
            EngineUnavailable: a package has no wheel for the target.
        """
        pins = (*(Pin(name, version) for name, version in self.torch.items()), *self.pins)
        return tuple(self._wheel(pin, target) for pin in pins if pin.is_for(target))

    def download_bytes(self, target: Target) -> int:
        """Return the size of all wheels for a target in bytes, without NVIDIA's libraries.

        Raises:
            EngineUnavailable: a package has no wheel for the target.
        """
        return sum(wheel.size_bytes for wheel in self.wheels(target))

    def _wheel(self, pin: Pin, target: Target) -> Wheel:
        files = self.files.get((pin.name, pin.version), ())
        fits = [(fit, wheel) for wheel in files for fit in [fit_of(wheel.file_name, target)] if fit]
        if not fits:
            raise EngineUnavailable(
                f"{pin.name} {pin.version} has no wheel for {target}: {self._way_out(files, target)}."
            )
        return min(fits, key=lambda pair: pair[0])[1]

    def _way_out(self, files: Iterable[Wheel], target: Target) -> str:
        """Return what would help: a newer system, or one of the lock's Pythons on one of its systems."""
        newer = replace(target, libc=(99, 0), system_version=(99, 0))
        fits = [fit for wheel in files for fit in [fit_of(wheel.file_name, newer)] if fit]
        if fits:
            what = "glibc" if target.system == "linux" else "macOS"
            return f"it needs {what} {_dotted(min((-fit[2], -fit[3]) for fit in fits))} or newer"
        pythons = ", ".join(_dotted(version) for version in self.pythons)
        return f"use one of Python {pythons} on 64-bit Linux or Windows, or on a Mac with Apple silicon"


def read_lock() -> Lock:
    """Read the lock that comes with the plugin.

    Raises:
        EngineUnavailable: it is missing or damaged.
    """
    requirements, wheels = package_file(REQUIREMENTS), package_file(WHEELS)
    try:
        return _read(requirements, requirements.read_bytes(), wheels.read_bytes())
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise EngineUnavailable(
            f"The list of the engine's packages cannot be read ({requirements} and {wheels.name}: {error}): install "
            "the plugin again."
        ) from error


def _read(requirements: Path, pins_content: bytes, wheels_content: bytes) -> Lock:
    told = json.loads(wheels_content)
    pythons = sorted((int(major), int(minor)) for major, minor in (text.split(".") for text in told["pythons"]))
    pins = read_pins(pins_content.decode())
    for pin in pins:
        pin.is_for(Target(pythons[-1], "linux", "x86_64"))  # markers that are not understood show here
    digest = hashlib.sha256(pins_content + wheels_content).hexdigest()
    return Lock(digest, tuple(pythons), dict(told["torch"]), requirements, pins, _by_package(told["wheels"]))


def _by_package(told: Mapping[str, Mapping[str, object]]) -> Mapping[tuple[str, str], tuple[Wheel, ...]]:
    packages: dict[tuple[str, str], list[Wheel]] = {}
    for file_name, about in told.items():
        name, version = canonical(file_name.split("-")[0]), file_name.split("-")[1]
        digest = "".join(str(about["sha256"]).split())
        wheel = Wheel(name, version, file_name, int(str(about["size_bytes"])), digest)
        packages.setdefault((name, version), []).append(wheel)
    return {package: tuple(wheels) for package, wheels in packages.items()}


def read_pins(requirements: str) -> tuple[Pin, ...]:
    r"""Read a requirements file in which every package has a version, and lines may go on after a ``\``.

    Raises:
        ValueError: a line is none of a lock.
    """
    lines = (line.strip() for line in re.sub(r"\s*\\\n\s*", " ", requirements).splitlines())
    pins = []
    for line in lines:
        if line and not line.startswith("#"):
            found = _PIN.fullmatch(line)
            if not found:
                raise ValueError(f"The line {line[:80]!r} pins no version.")
            pins.append(Pin(canonical(found["name"]), found["version"], found["marker"] or ""))
    return tuple(pins)


def canonical(name: str) -> str:
    """Return a package's name in lower case, with hyphens."""
    return re.sub(r"[-_.]+", "-", name).lower()


def fit_of(file_name: str, target: Target) -> Optional[Fit]:
    """Return how well a wheel fits a target, the lowest fits best; None: not at all.

    The third and fourth number are the version of glibc or macOS that it needs, negative. The order is pip's: what is
    made for this Python before what is made for older ones too, and what needs a newer system before the rest.
    """
    pythons, abis, platforms = (part.split(".") for part in file_name[: -len(".whl")].split("-")[-3:])
    fits = [
        (int(platform == "any"), interpreter, *place)
        for python in pythons
        for abi in abis
        for interpreter in [_interpreter_fit(python, abi, target.python)]
        for platform in platforms
        for place in [_platform_fit(platform, target)]
        if interpreter is not None and place is not None and (platform != "any" or abi == "none")
    ]
    return min(fits, default=None)


def _interpreter_fit(python: str, abi: str, version: tuple[int, int]) -> Optional[int]:
    """Return the rank of a wheel's first two tags for a Python; None: they are not for it."""
    found = re.fullmatch(rf"(cp|py){version[0]}(\d*)", python)
    age = version[1] - int(found[2] or version[1]) if found else -1
    if found is None or age < 0:
        return None
    if found[1] == "py":  # after all of ``cp``: py311, py3, py310, ...
        is_exact = age == 0 and bool(found[2])
        return 100 + (0 if is_exact else age + 1) if abi == "none" else None
    if age:
        return 2 + age if abi == "abi3" else None
    return {f"cp{version[0]}{version[1]}": 0, "abi3": 1, "none": 2}.get(abi) if found[2] else None


def _platform_fit(platform: str, target: Target) -> Optional[tuple[int, int, int]]:
    """Return the rank of a wheel's third tag; None: it does not run there."""
    if platform == "any":
        return 0, 0, 0
    if target.system == "win32":
        return (0, 0, 0) if platform == f"win_{target.machine[1]}" else None
    family, _, rest = platform.partition("_")
    found = re.fullmatch(r"(manylinux|macosx)_(\d+)_(\d+)_(\w+)", f"{_OLD_TAGS.get(family, family)}_{rest}")
    if not found:
        return None
    needed, processor = (int(found[2]), int(found[3])), found[4]
    if (target.system, found[1]) == ("linux", "manylinux"):
        fits = processor == target.machine[1] and needed <= target.libc
    else:
        is_release = needed[0] == 10 or needed[1] == 0  # from macOS 11 on, tags have no minor version
        fits = (target.system, found[1]) == ("darwin", "macosx") and is_release and needed <= target.system_version
        fits = fits and processor in (target.processor, "universal2")
    return (-needed[0], -needed[1], int(processor == "universal2")) if fits else None


def holds(marker: str, variables: Mapping[str, str]) -> bool:
    """Return whether a marker holds, such as ``sys_platform == 'linux' and python_version < '3.12'``.

    Args:
        marker: comparisons with ``and``, ``or`` and brackets.
        variables: the values of its names; versions of Python with two numbers.

    Raises:
        ValueError: it is not understood.
    """
    tokens = _tokens(marker)
    try:
        value = _either(tokens, variables)
    except (IndexError, KeyError) as error:
        raise ValueError(f"The marker {marker!r} is not understood.") from error
    if tokens:
        raise ValueError(f"The marker {marker!r} is not understood.")
    return value


_Token = tuple[str, str, str, str]  # a word or bracket; or name, sign and value of a comparison


def _tokens(marker: str) -> list[_Token]:
    tokens, at = [], 0
    while at < len(marker):
        found = _TOKEN.match(marker, at)
        if not found:
            raise ValueError(f"The marker {marker!r} is not understood from {marker[at:]!r} on.")
        word, name, sign, single, double = found.groups(default="")
        tokens.append((word, name, sign, single or double))
        at = found.end()
    return tokens


def _either(tokens: list[_Token], variables: Mapping[str, str]) -> bool:
    return any(_joined(tokens, variables, "or", _both))


def _both(tokens: list[_Token], variables: Mapping[str, str]) -> bool:
    return all(_joined(tokens, variables, "and", _one))


def _joined(tokens: list[_Token], variables: Mapping[str, str], word: str, part: Callable[..., bool]) -> list[bool]:
    """Return the values of all parts that a word joins; all are read, whatever the first ones say."""
    values = [part(tokens, variables)]
    while tokens and tokens[0][0] == word:
        tokens.pop(0)
        values.append(part(tokens, variables))
    return values


def _one(tokens: list[_Token], variables: Mapping[str, str]) -> bool:
    word, name, sign, value = tokens.pop(0)
    if not word:
        return _compare(variables[name], name, sign, value)
    inner = word == "(" and _either(tokens, variables)
    if word != "(" or tokens.pop(0)[0] != ")":
        raise IndexError
    return inner


def _compare(own: str, name: str, sign: str, value: str) -> bool:
    if sign not in _COMPARABLE.get(name, ("==", "!=")):
        raise KeyError(sign)
    if name in _COMPARABLE:
        return _SIGNS[sign](_minor_version(own), _minor_version(value))
    return _SIGNS[sign](own, value)


def _minor_version(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)(?:\.(\d+))?(?:\.0)*", text)
    if not found:
        raise KeyError(text)
    return int(found[1]), int(found[2] or 0)


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
