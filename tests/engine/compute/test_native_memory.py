"""Native libraries in processes with a real limit of memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import rs_textseg_plugin

pytest.importorskip("resource", reason="this system has no such limit")
STAGED = Path(rs_textseg_plugin.__file__).parent.parent
PREPARED = f"""
import resource, sys
sys.path.insert(0, {str(STAGED)!r})
import numpy as np, torch
from rs_textseg_plugin.engine.compute.native_memory import reserve_native_memory

def leave(room_mb):
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + room_mb * 2**20,) * 2)

matrix, product = np.ones((1500, 1500), np.float32), np.empty((1500, 1500), np.float32)
"""


def run(script: str) -> subprocess.CompletedProcess[str]:
    """Run it with a limit of time: without the reserve, OpenBLAS asks for its buffer for ever."""
    return subprocess.run([sys.executable, "-c", PREPARED + script], capture_output=True, text=True, timeout=60)


def test_matrices_are_multiplied_and_threads_run_where_no_more_memory_is_left():
    ended = run("reserve_native_memory(); leave(4); print(np.matmul(matrix, matrix, out=product)[0, 0])")
    assert (ended.returncode, ended.stdout) == (0, "1500.0\n"), ended.stderr
    # Without the reserve, OpenMP ends the process here, with words of its own.
    ended = run("""
reserve_native_memory(); leave(4)
try:
    torch.nn.functional.conv2d(torch.ones(1, 64, 256, 256), torch.ones(64, 64, 3, 3))
except RuntimeError as error:
    print(type(error).__name__)
""")
    assert (ended.returncode, ended.stdout) == (0, "RuntimeError\n"), ended.stderr


def test_a_process_that_may_not_take_what_the_libraries_need_is_told_so_and_does_not_hang():
    ended = run("leave(20); reserve_native_memory()")
    assert "MemoryExhausted: The engine needs" in ended.stderr
    assert "raise its limit of memory (ulimit -v)" in ended.stderr
