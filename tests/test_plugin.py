"""The plugin in a real QGIS, on a virtual display: what it adds, and that it leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stage import stage

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What tests/drivers/real_qgis.py saw, the exit status of QGIS, and how its output ended."""
    folder = tmp_path_factory.mktemp("qgis")
    display = ["xvfb-run", "--auto-servernum", "--server-args", "-screen 0 1280x900x24"]
    process = subprocess.run(
        [*display, "qgis", "--nologo", "--code", str(HERE / "drivers" / "real_qgis.py")],
        env=environment(folder),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    observed = folder / "observed.json"
    assert observed.exists(), process.stdout[-2000:] + process.stderr[-2000:]
    return {**json.loads(observed.read_text()), "exit status": process.returncode}


def environment(folder: Path) -> dict[str, str]:
    """A fresh user with the staged plugin, a raster, and the fake worker as engine."""
    profile = folder / "home" / ".local" / "share" / "QGIS" / "QGIS3" / "profiles" / "default" / "QGIS"
    profile.mkdir(parents=True)
    (profile / "QGIS3.ini").write_text("[qgis]\nshowTips=false\ncheckVersion=false\n")
    (folder / "runtime").mkdir(mode=0o700)
    stage(folder / "plugins", link=True)
    launcher = folder / "fake-python"
    launcher.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{HERE / "fakes" / "fake_worker.py"}" "$@"\n')
    launcher.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("QT_", "QGIS_", "PYTHON"))}
    return {
        **kept,
        "HOME": str(folder / "home"),
        "XDG_RUNTIME_DIR": str(folder / "runtime"),
        "QGIS_PLUGINPATH": str(folder / "plugins"),
        "RS_TEXTSEG_ENGINE_PYTHON": str(launcher),
        "RS_TEXTSEG_RASTER": str(make_scene(folder / "scene.tif")),
        "RS_TEXTSEG_OBSERVED": str(folder / "observed.json"),
    }


def make_scene(path: Path) -> Path:
    from osgeo import gdal, osr

    data = gdal.GetDriverByName("GTiff").Create(str(path), 64, 48, 3)
    data.SetGeoTransform((500000, 0.5, 0, 5000000, 0, -0.5))
    srs = osr.SpatialReference()
    srs.ImportFromEPSG(32633)
    data.SetProjection(srs.ExportToWkt())
    return path


def test_the_plugin_adds_a_dock_a_button_a_menu_and_a_provider(seen):
    before, during = seen["without"], seen["while running"]
    assert set(during["docks"]) - set(before["docks"]) == {"RsTextSegDock"}
    assert set(during["icons"]) - set(before["icons"]) == {"rsTextSegToggleDock"}
    assert set(during["raster menu"]) - set(before["raster menu"]) == {"", "RS TextSeg"}  # "": separator
    assert set(during["providers"]) - set(before["providers"]) == {"rstextseg"}


def test_the_dock_is_closed_at_first_and_opened_by_its_button(seen):
    assert seen["is hidden at first"]
    assert seen["is shown by its button"]


def test_a_run_is_a_task_with_a_worker_process(seen):
    assert seen["while running"]["tasks"] == 1
    assert len(seen["while running"]["workers"]) == 1


def test_unloading_in_the_middle_of_a_run_leaves_nothing_behind(seen):
    assert seen["after unloading"] == seen["without"]


def test_unloading_does_not_wait_for_a_run_that_hangs(seen):
    assert seen["seconds to unload"] < 4.5


def test_the_dock_comes_back_open_where_it_was_left_open(seen):
    assert seen["is shown again"]


def test_after_a_reload_a_query_becomes_a_layer_in_its_group_above_the_raster(seen):
    assert seen["tree"] == ["RS TextSeg", "scene"]
    assert seen["message"].startswith("2 polygons in 1 s.")


def test_qgis_closes_with_a_warm_worker_which_ends_with_it(seen):
    assert seen["exit status"] == 0
    assert len(seen["workers at the end"]) == 1
    assert not Path(f"/proc/{seen['workers at the end'][0]}").exists()
