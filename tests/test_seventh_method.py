"""A method is two files: its table and its code. Every face of the product finds it, and nothing else is touched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyogrio
import pytest
from rasters import north_up, write_raster

from stage import stage

FILES = Path(__file__).parent / "helpers" / "seventh_method"
DRIVER = Path(__file__).parent / "drivers" / "seventh_method.py"


@pytest.fixture(scope="module")
def staged(tmp_path_factory) -> Path:
    """A folder with the plugin and two files more."""
    package = stage(tmp_path_factory.mktemp("seventh"))
    before = {path for path in package.rglob("*") if path.is_file()}
    shutil.copyfile(FILES / "table.py", package / "contract" / "pipelines" / "bright_spots.py")
    shutil.copyfile(FILES / "code.py", package / "engine" / "pipelines" / "bright_spots.py")
    assert len({path for path in package.rglob("*") if path.is_file()} - before) == 2
    return package.parent


@pytest.fixture(scope="module")
def raster(tmp_path_factory) -> Path:
    """Two bright squares and a dim one on a dark ground, pixels of 0.5 m."""
    pixels = np.full((3, 120, 160), 20, np.uint8)
    for row, column, value in ((10, 10, 250), (60, 90, 230), (90, 30, 150)):
        pixels[:, row : row + 12, column : column + 12] = value
    return write_raster(tmp_path_factory.mktemp("raster") / "scene.tif", pixels, transform=north_up(0.5))


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "RS_TEXTSEG_ENGINE_PYTHON"}
    return {**kept, "QT_QPA_PLATFORM": "offscreen", "OMP_NUM_THREADS": "1"}


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)


def test_the_command_line_runs_it_and_lists_its_parameters_and_presets(staged, raster, tmp_path):
    engine = [sys.executable, "-m", "rs_textseg_plugin.engine", "segment"]
    told = subprocess.run(
        [*engine, "--help"], cwd=staged, env=environment(), capture_output=True, text=True, check=True
    )
    assert "least_brightness=200" in told.stdout
    assert "dim (bright-spots, darker spots too):\n      least_brightness=100" in told.stdout
    out = tmp_path / "result.gpkg"
    command = [*engine, str(raster), "--text", "lamp", "--pipeline", "bright-spots", "--out", str(out)]
    assert run(command, staged).returncode == 0
    assert pyogrio.read_info(out, layer="segments")["features"] == 2


def test_processing_and_the_dock_run_it(staged, raster, tmp_path):
    command = [sys.executable, str(DRIVER), str(staged), str(raster), str(tmp_path)]
    home = {**environment(), "HOME": str(tmp_path), "QGIS_CUSTOM_CONFIG_PATH": str(tmp_path / "profile")}
    ended = subprocess.run(command, cwd=staged, env=home, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert json.loads(ended.stdout.splitlines()[-1]) == {"processing": 3, "dock": 2}


def test_a_method_in_a_users_folder_is_not_found(staged, raster, tmp_path):
    shutil.copyfile(FILES / "table.py", tmp_path / "bright_spots.py")
    package = stage(tmp_path / "plain", link=True)
    command = [sys.executable, "-m", "rs_textseg_plugin.engine", "segment", str(raster), "--text", "lamp"]
    command += ["--pipeline", "bright-spots", "--out", str(tmp_path / "result.gpkg")]
    path = {**environment(), "PYTHONPATH": str(tmp_path)}
    ended = subprocess.run(command, cwd=package.parent, env=path, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("There is no pipeline 'bright-spots': choose one of sam-clip,")
