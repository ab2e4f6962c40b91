"""Random square pictures out of a user's rasters, read and stretched as the product does it."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from rs_textseg_plugin.contract.errors import SceneError
from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.engine.raster.reader import SceneReader, open_scene

SMALLEST_PX = 16

_SUFFIXES = (".tif", ".tiff", ".jp2", ".png", ".jpg", ".jpeg", ".vrt", ".img")
_OPEN_AT_ONCE = 16
_TRIES = 50


def find_rasters(places: Sequence[Path]) -> list[Path]:
    """Return the rasters that are named, and those at any depth of the folders that are named.

    Raises:
        SceneError: there is none, or one of the places does not exist.
    """
    found: list[Path] = []
    for place in places:
        if not place.exists():
            raise SceneError(f"There is no raster and no folder {place}: check its path.")
        inside = place.rglob("*") if place.is_dir() else [place]
        found += sorted(path for path in inside if path == place or path.suffix.lower() in _SUFFIXES)
    if not found:
        names = ", ".join(map(str, places))
        raise SceneError(f"There is no raster in {names} ({', '.join(_SUFFIXES)}): name rasters, or a folder of them.")
    return found


class PictureSource:
    """Cuts pictures out of rasters: every pixel of all of them is as likely as any other.

    A raster that is smaller than a picture is continued by its reflection. Pictures with missing pixels are avoided:
    of some random places the first without any is taken, and where there is none, the one with the fewest.

    Args:
        rasters: files.
        scene: bands, stretch and ground resolution for all of them; its path is of no account.
        size_px: side of the pictures, on the working grid.

    Raises:
        SceneError: a raster cannot be read, or is smaller than `SMALLEST_PX`.
    """

    def __init__(self, rasters: Sequence[Path], scene: Scene, size_px: int) -> None:
        self._scene, self._size_px = scene, size_px
        self._rasters = list(rasters)
        areas = np.array([_area_px(path) for path in self._rasters], np.float64)
        self._shares = areas / areas.sum()
        self._open: OrderedDict[int, SceneReader] = OrderedDict()
        self._reader(0)  # bands that do not exist are found before the training starts

    def __enter__(self) -> PictureSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        while self._open:
            self._open.popitem()[1].close()

    def cut(self, count: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return pictures ``(count, size_px, size_px, 3)`` uint8.

        Raises:
            SceneError: a raster is damaged.
        """
        return np.stack([self._cut_one(rng) for _ in range(count)])

    def _cut_one(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        best, most = np.zeros((self._size_px, self._size_px, 3), np.uint8), -1.0
        for _ in range(_TRIES):
            reader = self._reader(int(rng.choice(len(self._rasters), p=self._shares)))
            image = reader.read(_random_window(reader.grid.window, self._size_px, rng))
            share = float(image.valid.mean())
            if share > most:
                best, most = image.rgb, share
            if share == 1.0:
                break
        return _continued(best, self._size_px)

    def _reader(self, index: int) -> SceneReader:
        """Return an open raster; the one that was not used for longest is closed for it."""
        if index not in self._open:
            if len(self._open) >= _OPEN_AT_ONCE:
                self._open.popitem(last=False)[1].close()
            self._open[index] = self._opened(index)
        self._open.move_to_end(index)
        return self._open[index]

    def _opened(self, index: int) -> SceneReader:
        path = self._rasters[index]
        reader = open_scene(replace(self._scene, path=str(path)))
        if min(reader.grid.width, reader.grid.height) < SMALLEST_PX:
            reader.close()
            raise SceneError(_too_small(path, reader.grid.width, reader.grid.height))
        return reader


def _area_px(path: Path) -> int:
    """Return how many pixels a raster has, from its header."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path) as dataset:
                width, height = int(dataset.width), int(dataset.height)
    except RasterioError as error:
        raise SceneError(
            f"{path} cannot be opened as a raster ({error}): take it out, or name raster files."
        ) from error
    if min(width, height) < SMALLEST_PX:
        raise SceneError(_too_small(path, width, height))
    return width * height


def _too_small(path: Path, width: int, height: int) -> str:
    return (
        f"The raster {path} has {width} x {height} pixels, and less than {SMALLEST_PX} on a side teach nothing: "
        "take it out, or give a finer resolution."
    )


def _random_window(whole: Window, size_px: int, rng: np.random.Generator) -> Window:
    width, height = min(size_px, whole.width), min(size_px, whole.height)
    col, row = int(rng.integers(whole.width - width + 1)), int(rng.integers(whole.height - height + 1))
    return Window(col, row, width, height)


def _continued(rgb: NDArray[np.uint8], size_px: int) -> NDArray[np.uint8]:
    """Return ``(size_px, size_px, 3)``: reflected on the sides of the shorter ones."""
    height, width = rgb.shape[:2]
    below, right = size_px - height, size_px - width
    margins = ((below // 2, below - below // 2), (right // 2, right - right // 2), (0, 0))
    return np.pad(rgb, margins, mode="reflect")
