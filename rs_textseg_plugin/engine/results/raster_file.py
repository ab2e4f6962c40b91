"""GeoTIFFs of a result: label raster, score raster, class scores."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window as RasterioWindow

from rs_textseg_plugin.contract.grid import PixelGrid, Window
from rs_textseg_plugin.engine.results.placement import Placement

_FLOATS_PREDICTOR = 3  # GDAL's name for: put like bytes of neighbouring floats together before deflating


@contextmanager
def without_a_place_is_fine() -> Iterator[None]:
    """Keep quiet about rasters without a CRS or georeference: the user is told by a note of the run."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided", UserWarning)
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


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
        with without_a_place_is_fine():
            self._file: Any = rasterio.open(
                spool, "w", driver="GTiff", width=extent.width, height=extent.height, count=max(1, len(bands)),
                dtype=dtype, nodata=nodata, crs=grid.crs_wkt or None,
                transform=rasterio.Affine(t.a, t.b, x, t.d, t.e, y), tiled=True, interleave="band",
                compress="deflate", bigtiff="if_safer", **predictor,
            )  # fmt: skip
        for band, name in enumerate(bands, start=1):
            self._file.set_band_description(band, name)
        if colours:
            table = {value: (*bytes.fromhex(colour[1:]), 255) for value, colour in colours.items()}
            self._file.write_colormap(1, {0: (0, 0, 0, 0), **table})

    def tag(self, tags: Mapping[str, str]) -> None:
        """Store metadata of the whole file."""
        if self._path is not None:
            self._file.update_tags(**tags)

    def write(self, window: Window, values: NDArray[Any]) -> None:
        """Write values ``(h, w)``, or ``(bands, h, w)``, at a window of the working grid inside the extent."""
        if self._path is not None:
            inside = window.relative_to(self._extent)
            place = RasterioWindow(inside.col, inside.row, inside.width, inside.height)
            self._file.write(values.reshape(-1, *values.shape[-2:]), window=place)

    def finish(self, placement: Placement) -> None:
        """Close the file and hand it over for its target.

        Raises:
            OutputError: the target's folder has no room.
        """
        if self._path is not None:
            self.close()
            placement.put(self._spool, self._path)

    def close(self) -> None:
        """Close the growing file; a second call does nothing."""
        if self._path is not None:
            self._file.close()
