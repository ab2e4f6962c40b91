"""The end of a run that is not the user's Ctrl+C, and of those who read it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pyogrio
import pytest
from rasters import north_up, texture, write_raster

import rs_textseg_plugin

STAGED = Path(rs_textseg_plugin.__file__).parent.parent
# A hash with a billion rounds stands for a network: native code that lets other threads work and does not come back.
BUSY = f"""
import hashlib, sys
sys.path.insert(0, {str(STAGED)!r})
from rs_textseg_plugin.engine.cli.interrupts import stop_on_signals

stop_on_signals(grace_s=0.3)
print("ready", flush=True)
hashlib.pbkdf2_hmac("sha256", b"a", b"b", 10**9)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_system_s_signal_ends_a_run_inside_native_code(number):
    process = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        start_s = time.monotonic()
        process.send_signal(number)
        assert process.wait(timeout=30) == 130
        assert time.monotonic() - start_s < 10
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("command", ["{run} --json | head -n 1", "{run} >&- 2>&- <&-"])
def test_a_result_is_written_though_nobody_reads_the_events(command, tmp_path):
    raster = write_raster(tmp_path / "scene.tif", texture(64, 64), transform=north_up(0.25))
    parameters = "upsampling=bilinear templates=1 prob_threshold=0 min_area_m2=0 closed_list=true"
    run = (
        f"{sys.executable} -m rs_textseg_plugin.engine segment {raster} --text 'road, water' --pipeline segearth-ov"
        f" --out {tmp_path}/out.gpkg --param {parameters}"
    )
    shell = f"set -o pipefail; {command.format(run=run)}"
    ended = subprocess.run(["bash", "-c", shell], cwd=STAGED, capture_output=True, text=True, check=False)
    assert "Traceback" not in ended.stderr
    assert ended.returncode == 0, ended.stderr
    assert pyogrio.read_info(tmp_path / "out.gpkg", layer="segments")["features"] > 0
