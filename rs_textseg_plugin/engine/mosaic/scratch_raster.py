"""Rasters of the working grid in a scratch folder, written core by core and read block by block."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window as RasterioWindow

from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.engine.disk.checked_geotiff import CheckedGeoTiff


class ScratchRaster:
    """One band over a window of the working grid; pixels never written read as 0.

    Args:
        path: the file to make.
        extent: the part of the working grid that it holds.
        dtype: numpy name of the values.
    """

    def __init__(self, path: Path, extent: Window, dtype: str) -> None:
        self._path = path
        self._extent = extent
        # Any georeference will do; without one every opening prints a warning.
        layout = {"blockxsize": 256, "blockysize": 256, "zlevel": 1, "transform": rasterio.Affine.scale(2)}
        self._growing = CheckedGeoTiff(path, extent, dtype, sparse_ok=True, **layout)
        self._file: Any = None

    def write(self, window: Window, values: NDArray[Any]) -> None:
        """Write values ``(h, w)`` at a window of the working grid; what lies outside the extent is dropped."""
        common = window.intersection(self._extent)
        if not common.is_empty:
            part = values[common.relative_to(window).slices]
            self._growing.write(common, part)

    def finish(self) -> None:
        """End writing; reading is possible from now on.

        Raises:
            EngineError: the file is not whole.
        """
        self._growing.finish()
        self._file = rasterio.open(self._path)

    def read(self, window: Window) -> NDArray[Any]:
        """Return values ``(h, w)`` of a window that lies inside the extent."""
        values: NDArray[Any] = np.asarray(self._file.read(1, window=self._local(window)))
        return values

    def close(self) -> None:
        """Close the file."""
        self._growing.close()
        if self._file is not None:
            self._file.close()

    def _local(self, window: Window) -> RasterioWindow:
        inside = window.relative_to(self._extent)
        return RasterioWindow(inside.col, inside.row, inside.width, inside.height)
