"""What this computer is, as far as it matters for the engine's packages."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass

from rs_textseg_plugin.runtime.child_environment import bundle_folder, child_environment
from rs_textseg_plugin.runtime.line_process import is_translated, output_of

_PROBE_S = 20.0
_NVIDIA_SMI = (
    "nvidia-smi",
    "--query-gpu=name,driver_version,compute_cap,memory.total",
    "--format=csv,noheader,nounits",
)


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA GPU.

    Attributes:
        name: as its maker calls it.
        driver: version of its driver, major and minor.
        capability: its compute capability, major and minor.
        memory_bytes: of its own.
    """

    name: str
    driver: tuple[int, int]
    capability: tuple[int, int]
    memory_bytes: int


@dataclass(frozen=True)
class Machine:
    """A computer.

    Attributes:
        system: as in `sys.platform`.
        processor: ``x86_64``, ``arm64``, or what the system calls it.
        libc: version of glibc, major and minor; (0, 0) on other systems, and where it is another library.
        system_version: of macOS, major and minor; (0, 0) on other systems.
        gpus: NVIDIA's, those that its tool lists.
    """

    system: str
    processor: str
    libc: tuple[int, int] = (0, 0)
    system_version: tuple[int, int] = (0, 0)
    gpus: tuple[Gpu, ...] = ()

    @property
    def has_apple_gpu(self) -> bool:
        """Whether torch can use a GPU of Apple's."""
        return self.system == "darwin" and self.processor == "arm64"


def this_machine() -> Machine:
    """Look at this computer; NVIDIA's tool is asked in a child process, for some seconds at most."""
    system = "linux" if sys.platform.startswith("linux") else sys.platform
    return Machine(system, _processor(), _glibc(), _macos(system), _gpus())


def why_impossible(machine: Machine) -> str:
    """Return in words why the engine cannot run on a computer, whatever is installed; empty: it can."""
    if machine.system == "darwin" and machine.processor != "arm64":
        return (
            "The engine does not run on Macs with an Intel processor: PyTorch is no longer made for them. "
            "Use a Mac with Apple silicon, or a Linux or Windows computer."
        )
    if machine.system not in ("linux", "win32", "darwin"):
        return f"The engine does not run on this system ({machine.system}): use Linux, Windows or macOS."
    if machine.processor not in ("x86_64", "arm64"):
        return (
            f"The engine does not run on this processor ({machine.processor}): PyTorch is made for 64-bit x86 and ARM."
        )
    if machine.system == "linux" and machine.libc == (0, 0):
        return (
            "The engine does not run on this Linux: PyTorch needs the GNU C library, and this system has another one, "
            "such as musl. Use a distribution with glibc."
        )
    return ""


def _processor() -> str:
    name = platform.machine().lower()
    if is_translated():
        return "arm64"  # an Intel QGIS that Apple silicon translates
    return {"amd64": "x86_64", "x64": "x86_64", "aarch64": "arm64"}.get(name, name)


def _glibc() -> tuple[int, int]:
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (AttributeError, OSError, ValueError):  # Windows, musl
        return 0, 0
    return _two(version) if name == "glibc" else (0, 0)


def _macos(system: str) -> tuple[int, int]:
    if system != "darwin":
        return 0, 0
    # An old program is told by the library that this is macOS 10.16.
    return _two(_output("/usr/sbin/sysctl", "-n", "kern.osproductversion") or platform.mac_ver()[0])


def _gpus() -> tuple[Gpu, ...]:
    return read_gpus(_output(*_NVIDIA_SMI))


def read_gpus(listed: str) -> tuple[Gpu, ...]:
    """Read what NVIDIA's tool lists: name, driver, capability and MiB of memory, a GPU a line."""
    found = []
    for line in listed.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 4 and _two(parts[2]) != (0, 0):
            mebibytes = int(parts[3]) if parts[3].isdigit() else 0
            found.append(Gpu(parts[0], _two(parts[1]), _two(parts[2]), mebibytes * 2**20))
    return tuple(found)


def _output(*command: str) -> str:
    """Return what a program of the system writes; empty where it is not there or fails."""
    return output_of(
        command, child_environment(os.environ, bundle_folder(sys.executable, os.environ)), _PROBE_S
    ).strip()


def _two(version: str) -> tuple[int, int]:
    """Return the first two numbers of a version; (0, 0) where there are none."""
    numbers = [int(part) for part in version.split(".") if part.isdigit()]
    return (numbers[0], numbers[1] if len(numbers) > 1 else 0) if numbers else (0, 0)
