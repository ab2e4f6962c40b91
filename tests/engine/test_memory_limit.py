"""A real run under a real limit of memory: halving the batches rescues it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import rs_textseg_plugin
from stage import ROOT

STAGED = Path(rs_textseg_plugin.__file__).parent.parent
ROOM_MB = 200  # 256 prompts at once take SAM's decoder more
RUN = f"""
import resource, sys
sys.path.insert(0, {str(STAGED)!r})
from rs_textseg_plugin.contract.grid import Extent
from rs_textseg_plugin.contract.query import parse_class_list
from rs_textseg_plugin.contract.recipe import Recipe
from rs_textseg_plugin.contract.request import Output, Request
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.engine.service import Engine

def request(**parameters):
    extent = Extent(512100, 5402900, 512120, 5402920)
    recipe = Recipe("sam-clip", parameters={{"tile_px": 256, "overlap_px": 0, **parameters}}, device="cpu")
    scene = Scene({str(ROOT / "resources" / "demo" / "scene.tif")!r}, extent=extent)
    return Request(scene, parse_class_list("building, road"), recipe, Output(sys.argv[1]))

engine = Engine()
list(engine.run(request(points_per_side=2), lambda: False))  # so that the models are there already
status = open("/proc/self/status").read().split()
used = int(status[status.index("VmSize:") + 1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (used + {ROOM_MB} * 2**20,) * 2)
finished = list(engine.run(request(points_per_side=16, points_per_batch=256), lambda: False))[-1]
print("\\n".join(finished.notes))
"""


def test_a_run_that_needs_more_than_there_is_ends_well_with_smaller_batches(tmp_path):
    out = tmp_path / "out.gpkg"
    ended = subprocess.run([sys.executable, "-c", RUN, str(out)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert "Memory ran out on cpu: batches were made 2 times smaller." in ended.stdout
    assert out.exists()


def test_an_engine_that_may_take_too_little_to_start_says_so_without_a_traceback(tmp_path):
    command = f"ulimit -v 700000; exec {sys.executable} -m rs_textseg_plugin.engine segment none.tif --text road"
    ended = subprocess.run(
        ["sh", "-c", f"{command} --out {tmp_path / 'out.gpkg'}"],
        cwd=STAGED, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("Memory ran out while the engine started (")
    assert "Traceback" not in ended.stderr
