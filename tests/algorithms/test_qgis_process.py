"""The algorithm without a window: the way of scripts and servers."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from stage import stage

# Debian's wrapper of 3.22 passes an option that the program does not know.
QGIS_PROCESS = shutil.which("qgis_process.bin") or "qgis_process"


@pytest.fixture
def call(tmp_path, fake_interpreter):
    """Run qgis_process as a fresh user with the staged plugin; return exit status and what it printed as JSON."""
    profile = tmp_path / "home" / ".local" / "share" / "QGIS" / "QGIS3" / "profiles" / "default" / "QGIS"
    profile.mkdir(parents=True)
    (profile / "QGIS3.ini").write_text("[PythonPlugins]\nrs_textseg_plugin=true\n")
    stage(tmp_path / "plugins", link=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("QT_", "QGIS_", "PYTHON"))}
    environment = {
        **kept,
        "HOME": str(tmp_path / "home"),
        "QT_QPA_PLATFORM": "offscreen",
        "QGIS_PLUGINPATH": str(tmp_path / "plugins"),
        "RS_TEXTSEG_ENGINE_PYTHON": str(fake_interpreter),
    }

    def call(**inputs):
        values = [f"{name}={value}" for name, value in inputs.items()]
        command = [QGIS_PROCESS, "--json", "run", "rstextseg:segmentbytext", "--", *values]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    return call


def processes_in(folder: Path) -> list[str]:
    """The processes that work in a folder, as the engine does in the one of the plugins."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):  # ended in the meantime, or another user's
            if path.readlink() == folder:
                found.append(str(path))
    return found


def test_qgis_process_runs_the_algorithm_and_ends_the_engine(call, raster_file, tmp_path):
    out = str(tmp_path / "result.gpkg")
    process = call(INPUT=str(raster_file), TEXT="road, water", PIPELINE="sam-clip", DEVICE="cpu", OUTPUT=out)
    assert process.returncode == 0, process.stderr
    results = json.loads(process.stdout)["results"]
    assert results["COUNT"] == 2
    assert results["OUTPUT"] == out
    assert processes_in(tmp_path / "plugins") == []


def test_qgis_process_fails_with_the_sentence_of_the_engine(call, raster_file, tmp_path):
    process = call(INPUT=str(raster_file), TEXT="refuse", OUTPUT=str(tmp_path / "result.gpkg"))
    assert process.returncode == 1
    assert "The raster has no pixels." in process.stdout + process.stderr
