"""GeoTIFFs that are compared with what was written, once they are closed.

GDAL keeps blocks in memory until it closes a file, and only prints what fails then. What such a file lacks is read as
nodata, as zeros, or as what was there before, without an error. So every window has a checksum.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window as RasterioWindow

from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.engine.disk.full_disk import not_whole, written_whole


@contextmanager
def without_a_place_is_fine() -> Iterator[None]:
    """Keep quiet about rasters without a CRS or georeference: the user is told by a note of the run."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided", UserWarning)
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


class CheckedGeoTiff:
    """A growing GeoTIFF.

    Args:
        path: the file to make.
        extent: the part of the working grid that it covers.
        dtype: numpy name of the values.
        profile: what else rasterio makes the file with.

    Raises:
        EngineError: here and in all methods but `close`: the file cannot be written to its end.
    """

    def __init__(self, path: Path, extent: Window, dtype: str, **profile: Any) -> None:
        self._path, self._extent, self._dtype = path, extent, dtype
        self._checksums: list[tuple[RasterioWindow, int]] = []
        self._tags: dict[str, str] = {}
        layout = {"width": extent.width, "height": extent.height, "count": 1, "tiled": True, "compress": "deflate"}
        with written_whole(path), without_a_place_is_fine():
            options = {**layout, **profile}
            self._file: Any = rasterio.open(path, "w", driver="GTiff", dtype=dtype, bigtiff="if_safer", **options)

    def describe(self, bands: Sequence[str], colours: Mapping[int, tuple[int, int, int, int]]) -> None:
        """Name the bands, and give the first one a colour table of red, green, blue, opacity (0..255 each)."""
        with written_whole(self._path):
            for band, name in enumerate(bands, start=1):
                self._file.set_band_description(band, name)
            if colours:
                self._file.write_colormap(1, dict(colours))

    def tag(self, tags: Mapping[str, str]) -> None:
        """Store metadata of the whole file."""
        with written_whole(self._path):
            self._file.update_tags(**tags)
        self._tags.update(tags)

    def write(self, window: Window, values: NDArray[Any]) -> None:
        """Write values ``(h, w)`` or ``(bands, h, w)`` at a window inside the extent; windows must not overlap."""
        inside = window.relative_to(self._extent)
        place = RasterioWindow(inside.col, inside.row, inside.width, inside.height)
        pixels = np.ascontiguousarray(values.reshape(-1, *values.shape[-2:]), self._dtype)
        with written_whole(self._path):
            self._file.write(pixels, window=place)
        self._checksums.append((place, crc32(pixels.data)))

    def finish(self) -> None:
        """Close the file and read all of it again."""
        with written_whole(self._path):
            self._file.close()
        with written_whole(self._path), without_a_place_is_fine(), rasterio.open(self._path, sharing=False) as file:
            if not self._tags.items() <= file.tags().items():
                raise not_whole(self._path, "what was noted in it is missing")
            for place, checksum in self._checksums:
                if crc32(np.ascontiguousarray(file.read(window=place)).data) != checksum:
                    raise not_whole(self._path, f"pixels are missing at row {place.row_off}, column {place.col_off}")
            if sum(place.width * place.height for place, _ in self._checksums) < file.width * file.height:
                for _, block in file.block_windows():  # those that were never written too
                    file.read(window=block)

    def close(self) -> None:
        """Close the file as it is; a second call does nothing."""
        self._file.close()
