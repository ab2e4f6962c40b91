#!/usr/bin/env python3
"""Draws the sample scene that ships with the plugin, with its truth: scene.tif, labels.tif and truth.gpkg.

    scripts/make_sample_scene.py [FOLDER] [--size 2048] [--seed 101]

`scripts/make_scenes.py` draws other kinds of place; this scene is packed as a photograph, to be small.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stage import ROOT

sys.path.insert(0, str(ROOT))

from scenes.drawing import SMALLEST_PX, draw
from scenes.files import PICTURE, write, write_photograph

FOLDER = ROOT / "resources" / "demo"
PIXEL_M = 0.25
SEED = 101  # no training and no evaluation draws it


def write_sample(folder: Path, size_px: int = 2048, seed: int = SEED) -> Path:
    """Draw a scene of a mixed place and write it with its truth; return the folder."""
    scene = draw(seed, size_px, PIXEL_M, "mixed")
    write(folder, scene)
    write_photograph(folder / PICTURE, scene.rgb, PIXEL_M)
    return folder


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Draws the sample scene: a place that does not exist.")
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER, help="where to write it (default: %(default)s)")
    parser.add_argument("--size", type=int, default=2048, help=f"side in pixels of {PIXEL_M} m (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="another seed, another place (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.size < SMALLEST_PX:
        parser.error(f"--size {arguments.size} is too small for a landscape: choose at least {SMALLEST_PX}.")
    print(write_sample(arguments.folder, arguments.size, arguments.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
