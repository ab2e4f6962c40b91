"""GeoTIFFs of a result: label raster, score raster, class scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from rs_textseg_plugin.contract.grid import PixelGrid, Window
from rs_textseg_plugin.engine.disk.checked_geotiff import CheckedGeoTiff
from rs_textseg_plugin.engine.results.placement import Placement

_FLOATS_PREDICTOR = 3  # GDAL's name for: put like bytes of neighbouring floats together before deflating


class RasterFile:
    """A GeoTIFF over the extent that was asked for, written block by block.

    Args:
        path: the target; empty: nothing is written at all.
        spool: the growing file, in a scratch folder.
        grid: the working grid.
        extent: the part of it that the file covers.
        dtype: ``uint8`` or ``float32``.
        nodata: value of pixels without a class, and of those that are never written.
        colours: ``#rrggbb`` per value, for a colour table.
        bands: descriptions of the bands; empty: there is one without.
    """

    def __init__(
        self,
        path: str,
        spool: Path,
        grid: PixelGrid,
        extent: Window,
        dtype: str,
        nodata: float,
        colours: Mapping[int, str] | None = None,
        bands: Sequence[str] = (),
    ) -> None:
        self._path = Path(path) if path else None
        self._spool = spool
        self._extent = extent
        if self._path is None:
            return
        t = grid.transform
        x, y = t.to_map(extent.col, extent.row)
        predictor = {"predictor": _FLOATS_PREDICTOR} if np.issubdtype(dtype, np.floating) else {}
        self._file = CheckedGeoTiff(
            spool, extent, dtype, count=max(1, len(bands)), nodata=nodata, crs=grid.crs_wkt or None,
            transform=rasterio.Affine(t.a, t.b, x, t.d, t.e, y), interleave="band", **predictor,
        )  # fmt: skip
        table = {value: (*bytes.fromhex(colour[1:]), 255) for value, colour in (colours or {}).items()}
        self._file.describe(bands, {0: (0, 0, 0, 0), **table} if table else {})

    def tag(self, tags: Mapping[str, str]) -> None:
        """Store metadata of the whole file."""
        if self._path is not None:
            self._file.tag(tags)

    def write(self, window: Window, values: NDArray[Any]) -> None:
        """Write values ``(h, w)``, or ``(bands, h, w)``, at a window of the working grid inside the extent.

        Windows must not overlap.
        """
        if self._path is not None:
            self._file.write(window, values)

    def finish(self, placement: Placement) -> None:
        """Close the file, read it again, and hand it over for its target.

        Raises:
            EngineError: it is not whole.
            OutputError: the target's folder has no room.
        """
        if self._path is not None:
            self._file.finish()
            placement.put(self._spool, self._path)

    def close(self) -> None:
        """Close the growing file; a second call does nothing."""
        if self._path is not None:
            self._file.close()
