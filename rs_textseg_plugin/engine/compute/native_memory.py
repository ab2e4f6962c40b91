"""What native libraries take at their first use, taken early: where there is no room they do not fail as they should.

OpenBLAS, which multiplies NumPy's matrices, asks for its buffers again and again, so that the process hangs. OpenMP's
runtime, which starts torch's threads, ends the process. Both keep what they have.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch

from rs_textseg_plugin.contract.errors import MemoryExhausted

try:
    import resource
except ImportError:  # Windows has no such limit
    resource = None  # type: ignore[assignment]

_LIBRARIES_BYTES = 64 * 2**20  # OpenBLAS's buffer has 32 MiB
_THREAD_BYTES = 48 * 2**20  # its stack, and its buffer
_MATRIX_SIDE = 512  # large enough to be shared among threads
_ELEMENTS = 2**20  # of a sum that is


@cache
def reserve_native_memory() -> None:
    """Let OpenBLAS and OpenMP take their buffers and threads, once a process.

    Raises:
        MemoryExhausted: the process may not take that much.
    """
    needed_bytes = _LIBRARIES_BYTES + _THREAD_BYTES * torch.get_num_threads()
    room_bytes = _room_bytes()
    if room_bytes is not None and room_bytes < needed_bytes:
        raise MemoryExhausted(
            f"The engine needs {needed_bytes / 1e6:.0f} MB to begin with, and this process may take "
            f"{room_bytes / 1e6:.0f} MB more: raise its limit of memory (ulimit -v)."
        )
    matrix = np.ones((_MATRIX_SIDE, _MATRIX_SIDE), np.float32)
    matrix @ matrix
    torch.ones(_ELEMENTS).sum()


def _room_bytes() -> int | None:
    """Return how much address space the process may still take; None: there is no limit, or it cannot be told."""
    if resource is None:
        return None
    limit_bytes, _ = resource.getrlimit(resource.RLIMIT_AS)
    sizes = Path("/proc/self/statm")
    if limit_bytes == resource.RLIM_INFINITY or not sizes.is_file():
        return None
    return max(0, limit_bytes - int(sizes.read_text().split()[0]) * resource.getpagesize())
