#!/usr/bin/env python3
"""Draws an aerial picture of a place in the country that does not exist, on a clear morning.

    scripts/make_sample_scene.py OUT.tif [--size 1024] [--seed 0]

`scripts/make_scenes.py` draws other kinds of place too, and writes the truth beside them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stage import ROOT

sys.path.insert(0, str(ROOT))

from scenes.camera import Weather
from scenes.drawing import SMALLEST_PX, draw
from scenes.files import write_picture

PIXEL_M = 0.25


def draw_scene(size_px: int, seed: int) -> NDArray[np.uint8]:
    """Return the picture, ``(size_px, size_px, 3)``, 0..255, the same for the same seed."""
    return draw(seed, size_px, PIXEL_M, "rural", Weather()).rgb


def write_scene(path: Path, size_px: int = 1024, seed: int = 0) -> Path:
    """Draw a scene and write it as a tiled GeoTIFF, uint8, red, green and blue; return `path`."""
    return write_picture(path, draw_scene(size_px, seed), PIXEL_M)


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Draws an aerial picture of a place that does not exist.")
    parser.add_argument("out", type=Path, help="GeoTIFF to write")
    parser.add_argument("--size", type=int, default=1024, help=f"side in pixels of {PIXEL_M} m (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another place (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.size < SMALLEST_PX:
        parser.error(f"--size {arguments.size} is too small for a landscape: choose at least {SMALLEST_PX}.")
    print(write_scene(arguments.out, arguments.size, arguments.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
