"""Peak memory against raster size: the whole engine around a null model, 4k x 4k and 16k x 16k pixels.

The null model costs nothing and answers as a real one would: 130 round objects a tile that cross tile borders, and a
dense map of smooth fields. Each size runs in a process of its own, whose peak resident memory the system reports.

    python scripts/bench/memory.py [--sizes 4096 16384] [--rasters] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
SPACING_PX, RADIUS_PX = 90, 30
GATE = 1.10  # the larger raster may need this many times the memory of the smaller one


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[4096, 16384])
    parser.add_argument("--rasters", action="store_true", help="write label, score and class-score rasters too")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.rasters)))
        return 0
    rows = [json.loads(run_child(size, options.rasters)) for size in options.sizes]
    for row in rows:
        print(
            f"{row['size_px']:6d} px  {row['tiles']:4d} tiles  {row['polygons']:6d} polygons  "
            f"peak {row['peak_mb']:7.1f} MB (start {row['start_mb']:.1f})  {row['seconds']:7.1f} s  "
            f"{row['seconds_per_mpx']:.2f} s/Mpx"
        )
    ratio = rows[-1]["peak_mb"] / rows[0]["peak_mb"]
    print(f"peak memory, largest over smallest raster: {ratio:.3f} (gate {GATE})")
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "ratio": ratio}, indent=2) + "\n")
    return 0 if ratio <= GATE else 1


def run_child(size: int, rasters: bool) -> str:
    command = [sys.executable, __file__, "--one", str(size), *(["--rasters"] if rasters else [])]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(size: int, rasters: bool) -> dict[str, float]:
    """Run one size in this process."""
    from null_model import NullModel, write_random_folder, write_raster

    from rs_textseg_plugin.contract.events import Finished, Progress
    from rs_textseg_plugin.contract.query import parse_class_list
    from rs_textseg_plugin.contract.recipe import Recipe
    from rs_textseg_plugin.contract.request import Output, Request
    from rs_textseg_plugin.contract.scene import Scene
    from rs_textseg_plugin.engine.service import Engine

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        raster = write_raster(folder / "scene.tif", size)
        recipe = Recipe(models=str(write_random_folder(folder / "models")), device="cpu")
        names = ("label_raster", "score_raster", "class_scores") if rasters else ()
        output = Output(str(folder / "out.gpkg"), **{name: str(folder / f"{name}.tif") for name in names})
        request = Request(Scene(str(raster)), parse_class_list("building, road, water"), recipe, output)
        engine = Engine({"sam-clip": lambda inputs: NullModel(inputs.legend, SPACING_PX, RADIUS_PX)})
        start_mb, started = peak_mb(), time.perf_counter()
        tiles, finished = 0, None
        for event in engine.run(request, lambda: False):
            if isinstance(event, Progress):
                tiles = max(tiles, event.tiles_total)
            if isinstance(event, Finished):
                finished = event
        seconds = time.perf_counter() - started
    return {
        "size_px": size,
        "tiles": tiles,
        "polygons": sum(row.count for row in finished.classes) if finished else 0,
        "start_mb": start_mb,
        "peak_mb": peak_mb(),
        "seconds": seconds,
        "seconds_per_mpx": seconds / (size * size / 1e6),
    }


if __name__ == "__main__":
    sys.exit(main())
