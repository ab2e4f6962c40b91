"""The probability of every class at every pixel, as a GeoTIFF with a band for each."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rs_textseg_plugin.contract.errors import OutputError
from rs_textseg_plugin.contract.grid import PixelGrid, Window
from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.results.placement import Placement
from rs_textseg_plugin.engine.results.raster_file import RasterFile

_STEPS = 4096  # a power of two: the multiples of its inverse are exact as floats
# Of a pixel in a band. Measured: 0.7 where few blocks of the file lie in two tiles, up to 1.2 with many classes and
# small tiles: such blocks are compressed twice, and the first version stays in the file as a gap.
_BYTES_EACH = 1.0


class ClassScores:
    """A growing GeoTIFF, one band for each positive class, named after it.

    The values are float32, so that every program shows probabilities from 0 to 1 as they are (a scaled integer type
    is as small, but not all programs apply the scale), rounded down to multiples of 1/4096: finer differences come
    from the half precision in which the engine keeps logits, and without them the file is a quarter of the size.
    Rounded down, the bands of a pixel still sum to at most 1; what is missing to 1 belongs to negatives and generic
    words. NaN: the raster holds nothing there, or it was not asked for.

    They are what the tiles' maps and objects say after blending: neither a smallest area nor a phrase's geometry
    changes them.

    Args:
        path: the target; empty: nothing is written at all.
        scratch: an existing folder for the growing file.
        grid: the working grid.
        extent: the part of it that the file covers.
        legend: the competing classes.
    """

    def __init__(self, path: str, scratch: Path, grid: PixelGrid, extent: Window, legend: Legend) -> None:
        self.is_wanted = bool(path)
        self._extent = extent
        names = legend.competing[: legend.positives]
        self._count = len(names)
        self._file = RasterFile(
            path, scratch / "output_class_scores.tif", grid, extent, "float32", float("nan"), bands=names
        )

    def write(self, window: Window, probabilities: NDArray[np.float32], usable: NDArray[np.bool_]) -> None:
        """Write class probabilities at a window of the working grid; what lies outside the extent is dropped.

        Args:
            window: where.
            probabilities: ``(K, h, w)`` float32, 0..1, positive classes first.
            usable: ``(h, w)`` bool, pixels that hold data and were asked for.
        """
        common = window.intersection(self._extent)
        if not self.is_wanted or common.is_empty:
            return
        rows, columns = common.relative_to(window).slices
        values = probabilities[: self._count, rows, columns] * np.float32(_STEPS)
        np.floor(values, out=values)
        values /= np.float32(_STEPS)
        values[:, ~usable[rows, columns]] = np.nan
        self._file.write(common, values)

    def tag(self, tags: Mapping[str, str]) -> None:
        """Store metadata of the whole file."""
        self._file.tag(tags)

    def finish(self, placement: Placement) -> None:
        """Close the file and hand it over for its target.

        Raises:
            OutputError: the target's folder has no room.
        """
        self._file.finish(placement)

    def close(self) -> None:
        """Close the growing file; a second call does nothing."""
        self._file.close()


def check_room(path: str, scratch: Path, extent: Window, classes: int) -> None:
    """Find out before the work whether the disks have room for class scores; an empty path needs none.

    Args:
        path: the target.
        scratch: the folder where the file grows before it is copied beside its target.
        extent: the part of the working grid that it covers.
        classes: number of bands.

    Raises:
        OutputError: the file will probably not fit.
    """
    if not path:
        return
    folder = Path(path).absolute().parent
    copies = 2 if folder.stat().st_dev == scratch.stat().st_dev else 1
    needed = copies * classes * extent.width * extent.height * _BYTES_EACH
    for place in (scratch, folder):
        free = shutil.disk_usage(place).free
        if free < needed:
            raise OutputError(
                f"The scores of {classes} classes over {extent.width} x {extent.height} pixels need about "
                f"{_amount(needed)} while they are written, and {_amount(free)} are free in {place}: choose a "
                "smaller extent or fewer classes, or set the environment variable TMPDIR to a folder on a larger disk."
            )


def _amount(size_bytes: float) -> str:
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"
