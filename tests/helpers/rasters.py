"""Small GeoTIFFs of every kind that a reader meets; for tests only."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio import Affine
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import NotGeoreferencedWarning

from rs_textseg_plugin.contract.scene import Scene

UTM = "EPSG:32633"
CORNER = (500_000.0, 5_000_000.0)


def north_up(pixel_x: float = 1.0, pixel_y: float | None = None, corner: tuple[float, float] = CORNER) -> Affine:
    """A north-up transform; `pixel_y` is positive, and the same as `pixel_x` if not given."""
    return Affine(pixel_x, 0, corner[0], 0, -(pixel_y or pixel_x), corner[1])


METRE_PIXELS = north_up()


def rotated(degrees: float = 30.0, pixel: float = 1.0, corner: tuple[float, float] = CORNER) -> Affine:
    """Square pixels, turned about the first corner."""
    return Affine.translation(*corner) @ Affine.rotation(degrees) @ Affine.scale(pixel, -pixel)


def texture(height: int = 96, width: int = 128, bands: int = 3, seed: int = 0) -> np.ndarray:
    """(bands, height, width) uint8 from 20 to 235: blocks with noise, and no 0 anywhere."""
    random = np.random.default_rng(seed)
    blocks = random.integers(40, 215, (bands, height // 8 + 1, width // 8 + 1))
    coarse = blocks.repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width]
    return (coarse + random.integers(-20, 21, coarse.shape)).astype(np.uint8)


def write_raster(
    path: Path,
    values: np.ndarray,
    *,
    transform: Affine | None = METRE_PIXELS,
    crs: str | None = UTM,
    nodata: float | None = None,
    mask: np.ndarray | None = None,
    alpha: np.ndarray | None = None,
    palette: Mapping[int, tuple[int, int, int, int]] | None = None,
    overviews: Sequence[int] = (),
    **profile: Any,
) -> Path:
    """Write a GeoTIFF and return its path.

    Args:
        path: where to.
        values: (bands, height, width) in the dtype of the file.
        transform: None: not georeferenced.
        crs: None: none.
        nodata: the declared value.
        mask: (height, width) bool, True where valid: an internal mask band.
        alpha: (height, width), an additional last band.
        palette: colour table of the only band.
        overviews: factors, averaged.
        profile: other creation options.
    """
    bands = values if alpha is None else np.concatenate([values, alpha[None].astype(values.dtype)])
    count, height, width = bands.shape
    place = {"transform": transform} if transform is not None else {}
    size = {"count": count, "height": height, "width": width, "dtype": bands.dtype.name}
    with warnings.catch_warnings(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver="GTiff", crs=crs, nodata=nodata, **place, **size, **profile) as dataset:
            if alpha is not None:
                dataset.colorinterp = (*dataset.colorinterp[: count - 1], ColorInterp.alpha)
            dataset.write(bands)
            if palette is not None:
                dataset.write_colormap(1, dict(palette))
            if mask is not None:
                dataset.write_mask(mask)
        if overviews:
            with rasterio.open(path, "r+") as dataset:
                dataset.build_overviews(list(overviews), Resampling.average)
    return path


def scene_of(path: Path, **fields: Any) -> Scene:
    """A scene of the whole raster unless `fields` say otherwise."""
    return Scene(str(path), **fields)


def with_black_corner(values: np.ndarray, size_px: int) -> np.ndarray:
    """A copy with a black triangle of that leg length in the first corner, as warping leaves it."""
    height, width = values.shape[1:]
    rows, cols = np.mgrid[:height, :width]
    return np.where(rows + cols < size_px, 0, values).astype(values.dtype)
