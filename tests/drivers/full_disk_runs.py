#!/usr/bin/env python3
"""Runs a planted method on disks of many sizes, and tells what each run said and which of its files are broken.

tests/drivers/full_disk_runs.py FOLDER --models SET [--runs FORMAT:STAGE:BYTES ...]

No file of this process can grow beyond a size (RLIMIT_FSIZE), which needs no privileges. Each run writes every output
over those of an earlier, good one. The disk is full from the first event of a stage on, so that every file is once the
first to meet it. A line of JSON a run: ``format``, ``stage``, ``size``, ``error`` (its class; empty: none), ``words``,
``broken`` (files that are neither the earlier nor a whole new one, and files that were left behind).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

import numpy as np  # noqa: E402
import pyogrio  # noqa: E402
import rasterio  # noqa: E402
from planted import Truth, planted_engine  # noqa: E402
from skimage.measure import label  # noqa: E402
from small_disk import files_end_at  # noqa: E402

from rs_textseg_plugin.contract.errors import TextSegError  # noqa: E402
from rs_textseg_plugin.contract.query import parse_class_list  # noqa: E402
from rs_textseg_plugin.contract.recipe import Recipe  # noqa: E402
from rs_textseg_plugin.contract.request import Output, Request  # noqa: E402
from rs_textseg_plugin.contract.scene import Scene  # noqa: E402

SIDE_PX = 160
STAGES = ("Segmenting", "Joining tiles", "Writing polygons")
FORMATS = (".gpkg", ".shp", ".geojson")
WHOLE_RANGE = [
    f"{ending}:{stage}:{size}" for ending in FORMATS for stage in STAGES for size in range(4_000, 500_001, 4_000)
]


def main() -> int:
    """Run them all; exit status 1: something was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", required=True)
    parser.add_argument("--runs", nargs="*", default=WHOLE_RANGE)
    options = parser.parse_args()
    raster, truth = make_scene(options.folder)
    broken = False
    for run in options.runs:
        ending, stage, size = run.split(":")
        folder = options.folder / ending[1:]
        request = make_request(raster, folder, ending, options.models)
        if not folder.is_dir():
            folder.mkdir()
            list(planted_engine(truth).run(request, lambda: False))
        outcome = run_with(stage, int(size), request, truth)
        broken |= bool(outcome["broken"])
        print(json.dumps({"format": ending, "stage": stage, "size": int(size), **outcome}), flush=True)
    return int(broken)


def make_scene(folder: Path) -> tuple[Path, Truth]:
    """Write a raster; return its path and a truth of many small objects."""
    rng = np.random.default_rng(3)
    path = folder / "scene.tif"
    profile = {"driver": "GTiff", "width": SIDE_PX, "height": SIDE_PX, "count": 3, "dtype": "uint8"}
    place = rasterio.Affine(0.5, 0, 500000, 0, -0.5, 5000000)
    with rasterio.open(path, "w", **profile, crs="EPSG:32633", transform=place) as file:
        file.write(np.tile(np.arange(1, SIDE_PX + 1, dtype=np.uint8), (3, SIDE_PX, 1)))
    classes = np.kron(rng.integers(-1, 3, (SIDE_PX // 8, SIDE_PX // 8)), np.ones((8, 8), np.int64)).astype(np.int64)
    return path, Truth(classes, label(classes + 1, background=0, connectivity=1))


def make_request(raster: Path, folder: Path, suffix: str, models: str) -> Request:
    """Return a request for every output there is."""
    parameters = {"tile_px": 128, "overlap_px": 32, "simplify_m": 0, "min_area_m2": 0, "fill_holes_m2": 0}
    parameters["competitor"] = "background"  # few words, small scratch files
    names = {"label_raster": "l.tif", "score_raster": "s.tif", "class_scores": "c.tif", "map_picture": "m.png"}
    output = Output(str(folder / f"r{suffix}"), **{key: str(folder / name) for key, name in names.items()})
    recipe = Recipe(models=models, parameters=parameters, device="cpu")
    return Request(Scene(str(raster)), parse_class_list("building, road, water"), recipe, output)


def run_with(stage: str, size: int, request: Request, truth: Truth) -> dict[str, object]:
    """Run with a limit from a stage on; return what was said, and what is broken."""
    folder = Path(request.output.path).parent
    names = {path.name for path in folder.iterdir()}
    error = words = ""
    try:
        with ExitStack() as limit:
            full = False
            for event in planted_engine(truth).run(request, lambda: False):
                if not full and getattr(event, "stage", "") == stage:
                    full = limit.enter_context(files_end_at(size)) is None
    except TextSegError as problem:
        error, words = type(problem).__name__, str(problem)
    except Exception as problem:  # noqa: BLE001 - what a user would see as a traceback
        error, words = f"traceback: {type(problem).__name__}", str(problem)
    left = {path.name for path in folder.iterdir()} ^ names
    return {"error": error, "words": words, "broken": sorted(left | broken_files(request.output, truth))}


def broken_files(output: Output, truth: Truth) -> set[str]:
    """Return the names of outputs that do not hold the truth."""
    count = int(truth.objects.max())
    checks = {
        output.path: lambda: len(pyogrio.raw.read(output.path)[2]) == count,
        output.label_raster: lambda: (read(output.label_raster)[0] == truth.classes + 1).all(),
        output.score_raster: lambda: (np.isnan(read(output.score_raster)[0]) == (truth.classes < 0)).all(),
        output.class_scores: lambda: (read(output.class_scores).argmax(0) == truth.classes)[truth.classes >= 0].all(),
        output.map_picture: lambda: read(output.map_picture).any(),
    }
    return {Path(name).name for name, is_whole in checks.items() if not holds(is_whole)}


def read(path: str) -> np.ndarray:
    """Return all bands of a raster."""
    with rasterio.open(path) as file:
        return file.read()


def holds(is_whole: Callable[[], object]) -> bool:
    """Whether a check can be made and holds."""
    try:
        return bool(is_whole())
    except (rasterio.errors.RasterioError, RuntimeError):
        return False


if __name__ == "__main__":
    sys.exit(main())
