"""What is tested is what ships: the package is imported from a staged tree, as in the zip and in QGIS's profile."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from stage import stage

SESSION_FOLDER = Path(tempfile.mkdtemp(prefix="rs_textseg_tests_"))
atexit.register(shutil.rmtree, SESSION_FOLDER, ignore_errors=True)

# Before any test module is imported, so that every import of the package finds the staged tree.
sys.path.insert(0, str(stage(SESSION_FOLDER / "staged", link=True).parent))

# No user's folders, and the engine in the interpreter that runs the tests.
os.environ.setdefault("RS_TEXTSEG_ENGINE_PYTHON", sys.executable)
os.environ["RS_TEXTSEG_MODELS"] = str(SESSION_FOLDER / "models")


@pytest.fixture
def fake_interpreter(tmp_path: Path) -> Path:
    """A "Python interpreter" that runs tests/fakes/fake_worker.py, whatever module it is asked for."""
    worker = Path(__file__).parent / "fakes" / "fake_worker.py"
    launcher = tmp_path / "fake-python"
    launcher.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{worker}" "$@"\n')
    launcher.chmod(0o755)
    return launcher


@pytest.fixture
def make_request(tmp_path: Path):
    """Build a request for a text; without an output path nothing is written."""
    from rs_textseg_plugin.contract.query import parse_class_list
    from rs_textseg_plugin.contract.recipe import Recipe
    from rs_textseg_plugin.contract.request import Output, Request
    from rs_textseg_plugin.contract.scene import Scene

    def make(text: str = "road", raster: str = "scene.tif", output: str = "") -> Request:
        return Request(Scene(raster), parse_class_list(text), Recipe(), Output(output))

    return make


@pytest.fixture
def raster_file(tmp_path: Path) -> Path:
    """A GeoTIFF of 64 x 48 pixels of 0.5 m with three 8-bit bands in EPSG:32633, upper left at (500000, 5000000)."""
    return write_raster(tmp_path / "scene.tif")


def write_raster(path: Path, bands: int = 3, epsg: int = 32633) -> Path:
    """Write 64 x 48 pixels of noise; ``epsg=0``: without a CRS."""
    from osgeo import gdal, osr

    data = gdal.GetDriverByName("GTiff").Create(str(path), 64, 48, bands)
    data.SetGeoTransform((500000, 0.5, 0, 5000000, 0, -0.5))
    if epsg:
        srs = osr.SpatialReference()
        srs.ImportFromEPSG(epsg)
        data.SetProjection(srs.ExportToWkt())
    for band in range(1, bands + 1):
        data.GetRasterBand(band).WriteRaster(0, 0, 64, 48, bytes(i * band % 251 for i in range(64 * 48)))
    return path


@pytest.fixture
def make_raster(tmp_path: Path):
    """Return `write_raster` for the test's own folder: ``make_raster("name.tif", bands=1)``."""
    return lambda name, **options: write_raster(tmp_path / name, **options)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small SAM and a small CLIP in the published layouts, with random weights."""
    from tiny_models import write_tiny_models

    return write_tiny_models(tmp_path_factory.mktemp("tiny_models"))
