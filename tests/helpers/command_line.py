"""The command line in this process, and a scene for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio

from rs_textseg_plugin.engine.__main__ import main

FAST = ("--param", "points_per_side=4", "templates=1", "--device", "cpu")


def run(*arguments: object) -> int:
    """Run a command; return its exit status."""
    return main([str(argument) for argument in arguments])


def write_noise(path: Path, bands: int = 3, size: int = 200) -> Path:
    """Write pixels of 0.5 m with random values."""
    profile = {"driver": "GTiff", "width": size, "height": size, "count": bands, "dtype": "uint8", "crs": "EPSG:32633"}
    with rasterio.open(path, "w", **profile, transform=rasterio.Affine(0.5, 0, 500000, 0, -0.5, 5000000)) as file:
        file.write(np.random.default_rng(0).integers(1, 255, (bands, size, size), np.uint8))
    return path
