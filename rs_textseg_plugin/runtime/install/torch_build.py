"""Which build of torch a computer gets.

Sources: PyTorch's matrix of CUDA versions and GPU architectures for the releases 2.12 and 2.14 (pull requests 182849
and 194367 of pytorch/pytorch; CUDA 12.6 for compute capabilities 5.0 to 9.0, 13.0 from 7.5), and NVIDIA's "CUDA
Compatibility", minor version compatibility (CUDA 13 from driver 580, CUDA 12 from driver 525).
"""

from __future__ import annotations

from dataclasses import dataclass

from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.runtime.install.machine import Gpu, Machine

INDEX = "https://download.pytorch.org/whl/"  # PyTorch's own; it serves torch and torchvision only
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class _Cuda:
    name: str
    driver: tuple[int, int]
    lowest: tuple[int, int]
    highest: tuple[int, int]


# What torch 2.13.0 needs of NVIDIA's on Linux, by processor: the wheels of the public index, 2026-11.
_NVIDIA_BYTES = {"x86_64": 2_200_000_000, "arm64": 2_430_000_000}
_CUDAS = (_Cuda("cu130", (580, 0), (7, 5), (99, 0)), _Cuda("cu126", (525, 0), (5, 0), (9, 0)))


@dataclass(frozen=True)
class TorchBuild:
    """A build.

    Attributes:
        name: what PyTorch calls it, such as ``cpu`` or ``cu130``; empty: the only one that there is for this system.
        device: what it computes on, in words.
        note: why a GPU is not used, in words; empty: none is passed over.
        more_bytes: size of what it needs beside the packages of the lock.
    """

    name: str
    device: str
    note: str = ""
    more_bytes: int = 0

    @property
    def index(self) -> str:
        """Address of the index that serves it; empty: the public one does."""
        return INDEX + self.name if self.name else ""


def choose_build(machine: Machine, wanted: str = "auto") -> TorchBuild:
    """Return the build for a computer.

    Args:
        machine: the computer.
        wanted: one of `DEVICES`.

    Raises:
        RecipeError: it is none of these, or there is no GPU for ``cuda``.
    """
    if wanted not in DEVICES:
        raise RecipeError(f"There is no build for the device {wanted!r}: choose one of {', '.join(DEVICES)}.")
    cpu = "cpu" if machine.system == "linux" else ""  # the public wheel for Linux brings gigabytes of CUDA
    if machine.system == "darwin":
        return TorchBuild("", "Apple's GPU" if machine.has_apple_gpu and wanted == "auto" else "the CPU")
    if wanted == "cpu" or (wanted == "auto" and not machine.gpus):
        return TorchBuild(cpu, "the CPU")
    if not machine.gpus:
        raise RecipeError(
            "No NVIDIA GPU was found (nvidia-smi lists none): choose the device cpu, or install its driver."
        )
    gpu = max(machine.gpus, key=lambda one: one.memory_bytes)
    cuda = next((one.name for one in _CUDAS if _fits(one, gpu)), "")
    if not cuda:
        return TorchBuild(cpu, "the CPU", _why_no_cuda(gpu))
    return TorchBuild(cuda, gpu.name, more_bytes=_NVIDIA_BYTES[machine.processor] if cpu else 0)


def _fits(cuda: _Cuda, gpu: Gpu) -> bool:
    return gpu.driver >= cuda.driver and cuda.lowest <= gpu.capability <= cuda.highest


def _why_no_cuda(gpu: Gpu) -> str:
    lowest = min(cuda.lowest for cuda in _CUDAS)
    if gpu.capability < lowest:
        return f"The GPU {gpu.name} is too old for this PyTorch: the CPU is used."
    needed = min(cuda.driver[0] for cuda in _CUDAS if cuda.lowest <= gpu.capability <= cuda.highest)
    return (
        f"The driver of the GPU {gpu.name} is too old (version {gpu.driver[0]}.{gpu.driver[1]}): the CPU is used. "
        f"Update the driver to version {needed} or newer, and install the engine again."
    )
