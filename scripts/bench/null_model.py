"""A pipeline without networks: its answers follow from the place of a tile in the scene."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window as RasterioWindow

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "helpers"))

from rs_textseg_plugin.contract.grid import Window  # noqa: E402
from rs_textseg_plugin.engine.answers.answer import Answer, PackedMask, Segment  # noqa: E402
from rs_textseg_plugin.engine.answers.class_map import ClassMap  # noqa: E402
from rs_textseg_plugin.engine.answers.legend import Legend  # noqa: E402
from rs_textseg_plugin.engine.raster.reader import TileImage  # noqa: E402

COARSE_PX = 16  # one value of the dense map for that many pixels, as CLIP's patches give
FIELD_PX = 400  # wavelength of the dense map's fields


@dataclass(frozen=True)
class Place:
    """An observation: where the tile lies."""

    window: Window
    nbytes: int = 64


class NullModel:
    """Discs on a lattice as objects, and smooth fields as a dense map."""

    prob_threshold = 0.4

    def __init__(self, legend: Legend, spacing_px: int, radius_px: int) -> None:
        self._legend, self._spacing_px, self._radius_px = legend, spacing_px, radius_px

    def to(self, device: object, dtype: object) -> None:
        """There is nothing to move."""

    def observe(self, image: TileImage, control: object) -> Place:
        return Place(image.window)

    def answer(self, observation: Place, control: object) -> Answer:
        return Answer(tuple(self._discs(observation.window)), self._fields(observation.window))

    def _discs(self, tile: Window) -> Iterator[Segment]:
        reach = self._radius_px
        for i in range((tile.row - reach) // self._spacing_px, (tile.row_stop + reach) // self._spacing_px + 1):
            for j in range((tile.col - reach) // self._spacing_px, (tile.col_stop + reach) // self._spacing_px + 1):
                centre_row, centre_col = i * self._spacing_px, j * self._spacing_px
                box = Window(centre_col - reach, centre_row - reach, 2 * reach + 1, 2 * reach + 1)
                seen = box.intersection(tile)
                if seen.is_empty:
                    continue
                rows = np.arange(seen.row, seen.row_stop) - centre_row
                cols = np.arange(seen.col, seen.col_stop) - centre_col
                mask = rows[:, None] ** 2 + cols[None, :] ** 2 <= reach**2
                if mask.any():
                    yield self._segment(seen.relative_to(tile), mask, (i + 2 * j) % self._legend.size)

    def _segment(self, window: Window, mask: NDArray[np.bool_], label: int) -> Segment:
        scores = np.full(self._legend.size, 0.2 / (self._legend.size - 1), np.float32)
        scores[label] = 0.8
        return Segment(window, PackedMask.of(mask), label, scores)

    def _fields(self, tile: Window) -> ClassMap:
        height, width = -(-tile.height // COARSE_PX), -(-tile.width // COARSE_PX)
        rows = (tile.row + COARSE_PX * np.arange(height))[:, None] * 2 * np.pi / FIELD_PX
        cols = (tile.col + COARSE_PX * np.arange(width))[None, :] * 2 * np.pi / FIELD_PX
        waves = [np.sin(rows + k) * np.cos(cols - 2 * k) for k in range(len(self._legend.words))]
        whole = Window(0, 0, width, height)
        size = (height, width)
        return ClassMap(
            (4 * np.stack(waves))[None].astype(np.float16), (whole,), whole, size, (tile.height, tile.width)
        )


def write_raster(path: Path, size: int) -> Path:
    """Write a square 8-bit RGB raster of `size` pixels, row of blocks by row of blocks."""
    rng = np.random.default_rng(0)
    block = rng.integers(40, 200, (3, 256, size), np.uint8)
    profile = {"driver": "GTiff", "width": size, "height": size, "count": 3, "dtype": "uint8", "crs": "EPSG:32633"}
    layout = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate", "zlevel": 1}
    transform = rasterio.Affine(0.5, 0, 500000, 0, -0.5, 5000000)
    with rasterio.open(path, "w", **profile, **layout, transform=transform) as file:
        for row in range(0, size, 256):
            height = min(256, size - row)
            file.write(block[:, :height], window=RasterioWindow(0, row, size, height))
    return path


def write_random_folder(folder: Path) -> Path:
    """Write small checkpoints: the service wants a model set, the null model does not load it."""
    from tiny_models import write_tiny_models

    return write_tiny_models(folder)
