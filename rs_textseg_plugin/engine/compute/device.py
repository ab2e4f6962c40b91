"""Where the models run, in which precision, and what to give up when memory runs out."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.engine.compute.trial import find_device, why_unusable

_PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
_OUT_OF_MEMORY_WORDS = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "alloc_failed",
    "could not create a primitive",  # what oneDNN says where it gets no memory
    "could not create a memory",
)


def choose_device(wanted: str) -> torch.device:
    """Return the device: as named, or with ``auto`` the best that computes; see `find_device`.

    Raises:
        RecipeError: no such device, or this torch cannot use it.
    """
    if wanted == "auto":
        return find_device()[0]
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise RecipeError(f"There is no device {wanted!r}: choose auto, cpu, cuda, cuda:1 or mps.") from None
    usable = {"cpu": True, "mps": torch.backends.mps.is_available(), "cuda": torch.cuda.is_available()}
    if not usable.get(device.type, False):
        raise RecipeError(
            f"The device {wanted!r} is not usable here (torch {torch.__version__}): choose auto or cpu, "
            "or install a torch build that fits the GPU's driver."
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise RecipeError(f"The device {wanted!r} does not exist: this machine has {torch.cuda.device_count()} GPU(s).")
    reason = "" if device.type == "cpu" else why_unusable(device)
    if reason:
        raise RecipeError(f"The device {wanted!r} does not compute ({reason}): choose auto or cpu.")
    return device


def choose_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """Return the autocast type; ``auto`` is bf16 on CUDA devices that have it and fp32 elsewhere.

    Raises:
        RecipeError: no such precision.
    """
    if wanted == "auto":
        has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if has_bf16 else torch.float32
    if wanted not in _PRECISIONS:
        raise RecipeError(f"There is no precision {wanted!r}: choose auto, fp32 or bf16.")
    return _PRECISIONS[wanted]


def describe(device: torch.device, dtype: torch.dtype) -> str:
    """Return the device in words, for the result: ``NVIDIA ... (cuda:0), bf16``."""
    kind = "bf16" if dtype == torch.bfloat16 else "fp32"
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} ({device}), {kind}"
    if device.type == "cpu":
        return f"CPU with {torch.get_num_threads()} threads, {kind}"
    return f"{device}, {kind}"


def is_memory_error(error: BaseException) -> bool:
    """Whether an exception means that the GPU's or the machine's memory was exhausted."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _OUT_OF_MEMORY_WORDS)


@dataclass
class Budget:
    """How much is computed at once. `shrink` gives up speed in the order in which it hurts least.

    Attributes:
        device: where the models run now.
        dtype: the autocast type of the models there.
        batch_divisor: batches are this many times smaller than asked for.
        tiles_in_flight: tiles that are read ahead of the models, the one being worked on included.
        notes: what was given up, in words, for the result.
    """

    device: torch.device
    dtype: torch.dtype = torch.float32
    batch_divisor: int = 1
    tiles_in_flight: int = 3
    notes: list[str] = field(default_factory=list)
    smallest_batch_divisor: int = 64

    def batch(self, wanted: int) -> int:
        """Return the batch size to use where `wanted` was asked for."""
        return max(1, wanted // self.batch_divisor)

    def shrink(self) -> bool:
        """Take the next step down; False when there is none left.

        Half the batch until it is a single item, then one tile in flight, then the CPU (with full batches again).
        """
        if self.batch_divisor < self.smallest_batch_divisor:
            self.batch_divisor *= 2
            self.notes.append(f"Memory ran out on {self.device}: batches were made {self.batch_divisor} times smaller.")
        elif self.tiles_in_flight > 1:
            self.tiles_in_flight = 1
            self.notes.append(f"Memory ran out on {self.device}: only one tile at a time was held.")
        else:
            return self.fall_to_cpu(f"Memory ran out on {self.device} even for the smallest batch: the CPU was used.")
        return True

    def fall_to_cpu(self, note: str) -> bool:
        """Go on with the CPU and full batches; False where that is what runs already."""
        if self.device.type == "cpu":
            return False
        self.notes.append(note)
        self.device, self.batch_divisor, self.tiles_in_flight = torch.device("cpu"), 1, 3
        self.dtype = choose_dtype("fp32", self.device)
        return True
