"""What a killed run leaves is removed by the next one; what belongs to somebody is not touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import rs_textseg_plugin
from rs_textseg_plugin.engine.job.scratch import scratch_folder, sweep

STAGED = Path(rs_textseg_plugin.__file__).parent.parent
RUN = f"""
import sys, time
sys.path.insert(0, {str(STAGED)!r})
from rs_textseg_plugin.engine.cli.interrupts import stop_on_signals
from rs_textseg_plugin.engine.job.scratch import scratch_folder

stop = stop_on_signals()
with scratch_folder() as folder:
    (folder / "tile_0_0.npz").write_bytes(b"x" * 1000)
    print(folder, flush=True)
    while not stop.is_set():
        time.sleep(0.01)
"""


@pytest.fixture
def start(tmp_path):
    """Start a process that holds a scratch folder; return it and the folder."""
    started = []

    def start():
        environment = {**os.environ, "TMPDIR": str(tmp_path)}
        process = subprocess.Popen([sys.executable, "-c", RUN], env=environment, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process, Path(process.stdout.readline().strip())

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_the_folder_of_a_killed_run_is_removed_by_the_next_one(start, tmp_path):
    process, folder = start()
    process.kill()
    process.wait()
    assert (folder / "tile_0_0.npz").exists()  # a killed process cleans nothing
    _, other = start()
    assert not folder.exists()
    assert other.exists()


def test_the_folder_of_a_run_under_way_stays(start, tmp_path):
    _, folder = start()
    assert sweep(tmp_path) == []
    assert (folder / "tile_0_0.npz").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_run_that_is_told_to_end_cleans_up(start, number):
    process, folder = start()
    process.send_signal(number)
    assert process.wait(timeout=30) == 0
    assert not folder.exists()


def test_what_is_no_scratch_folder_is_not_touched(tmp_path):
    foreign = tmp_path / "rs_textseg_backup"
    foreign.mkdir()
    (foreign / "map.gpkg").write_bytes(b"x")
    (tmp_path / "rs_textseg_link").symlink_to(foreign)
    (tmp_path / "rs_textseg_file").write_text("x")
    assert sweep(tmp_path) == []
    assert (foreign / "map.gpkg").exists()


def test_a_run_leaves_nothing_whether_it_ends_well_or_not(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with scratch_folder() as folder:
        assert folder.parent == tmp_path
    with pytest.raises(ValueError, match="broken"), scratch_folder():
        raise ValueError("broken")
    assert list(tmp_path.iterdir()) == []
