"""One look at the whole raster before any tile is read.

What must be the same in every tile is decided here, from a small picture of all of the raster and never from the
part that is asked for: how values become 8-bit, and where an undeclared collar lies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rs_textseg_plugin.contract.errors import SceneError
from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.contract.scene import Stretch
from rs_textseg_plugin.engine.raster.bands import BandSource, Patch, Values
from rs_textseg_plugin.engine.raster.collar import Collar, expected_darkest, find_collar
from rs_textseg_plugin.engine.raster.resample import Floats

_PICTURE_PX = 1_000_000
_ROWS_AT_ONCE = 64  # of the picture: the blocks of all bands then stay in GDAL's cache
_SCAN_PX = 4_000_000
_VALUES_PER_SCAN = 100_000


@dataclass(frozen=True)
class Levels:
    """The stretch in effect, the same for the whole scene.

    Attributes:
        low: value that becomes 0, for each band.
        high: value that becomes 255, for each band; larger than `low`.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]

    @property
    def keeps_bytes(self) -> bool:
        """Whether 8-bit values stay as they are."""
        return set(self.low) == {0.0} and set(self.high) == {255.0}

    def apply(self, values: Floats) -> NDArray[np.uint8]:
        """Return (bands, rows, columns) float values as uint8; they must be finite."""
        low = np.array(self.low, values.dtype)[:, None, None]
        gain = (255.0 / (np.array(self.high) - np.array(self.low))).astype(values.dtype)[:, None, None]
        stretched: NDArray[np.uint8] = np.clip(np.rint((values - low) * gain), 0, 255).astype(np.uint8)
        return stretched


@dataclass(frozen=True, eq=False)
class Survey:
    """What the look at the whole raster showed.

    Attributes:
        levels: how values become 8-bit.
        valid: (rows, columns) bool picture of the raster.
        step_px: the raster's own pixels per pixel of the picture.
        collar: None where there is none.
        notes: what was found, in words.
    """

    levels: Levels
    valid: NDArray[np.bool_]
    step_px: int
    collar: Collar | None = None
    notes: tuple[str, ...] = ()

    def read(self, source: BandSource, window: Window) -> Patch:
        """Read a window in the pixels of `source`; neither missing nor collar pixels are valid."""
        return source.read(window) if self.collar is None else self.collar.read(source, window)


def take_survey(source: BandSource, stretch: Stretch) -> Survey:
    """Look at the whole raster.

    Args:
        source: the raster's own pixels.
        stretch: as asked for.

    Raises:
        SceneError: the file is damaged, or holds no valid pixel.
    """
    step_px = max(1, math.ceil(math.sqrt(source.width * source.height / _PICTURE_PX)))
    picture = _picture(source, step_px)
    black = picture.valid & (picture.values == 0).all(axis=0)
    collar = find_collar(black)
    valid = picture.valid & ~collar
    survey = Survey(_fixed_levels(source, stretch), valid, step_px)
    if collar.any():
        survey = _with_collar(survey, collar, expected_darkest(source))
    if _is_statistical(source, stretch):
        return _with_percentiles(survey, source, picture.values[:, valid], stretch)
    return survey


def _picture(source: BandSource, step_px: int) -> Patch:
    # A remainder of less than a step at the right and lower edges is left out; a very thin raster is one step thin.
    height, width = source.height // step_px, source.width // step_px
    if not height or not width:
        return source.read(Window(0, 0, source.width, source.height))
    parts = [
        source.sampled(Window(0, row * step_px, width * step_px, rows * step_px), step_px)
        for row, rows in _chunks(height, _ROWS_AT_ONCE)
    ]
    return Patch(np.concatenate([p.values for p in parts], axis=1), np.concatenate([p.valid for p in parts]))


def _chunks(length: int, size: int) -> Iterator[tuple[int, int]]:
    for start in range(0, length, size):
        yield start, min(size, length - start)


def _with_collar(survey: Survey, collar: NDArray[np.bool_], darkest: int) -> Survey:
    percent = 100 * float(collar.mean())
    share = f"{percent:.0f}" if percent >= 10 else f"{percent:.2g}"
    note = f"About {share} % of the raster is a black collar that no nodata value declares: it is left out."
    found = Collar.grown(collar, survey.step_px, darkest)
    return Survey(survey.levels, survey.valid, survey.step_px, found, (note,))


def _is_statistical(source: BandSource, stretch: Stretch) -> bool:
    return stretch.kind == "percentile" or (stretch.kind == "auto" and source.choice.dtype != np.uint8)


def _fixed_levels(source: BandSource, stretch: Stretch) -> Levels:
    count = 3 if source.choice.palette is not None else len(source.choice.numbers)
    low, high = (stretch.low, stretch.high) if stretch.kind == "range" else (0.0, 255.0)
    return Levels((float(low),) * count, (float(high),) * count)


def _with_percentiles(survey: Survey, source: BandSource, values: Values, stretch: Stretch) -> Survey:
    if values.size == 0:
        values = _scanned_values(survey, source)
    low, high = np.percentile(values.astype(np.float64), [stretch.low, stretch.high], axis=1)
    # A band that is the same everywhere becomes grey: it must not divide by zero.
    half = np.where(high > low, 0.0, np.maximum(0.5, np.abs(low) * 1e-5))
    levels = Levels(tuple((low - half).tolist()), tuple((high + half).tolist()))
    return Survey(levels, survey.valid, survey.step_px, survey.collar, survey.notes)


def _scanned_values(survey: Survey, source: BandSource) -> Values:
    """Valid values of a raster that has too few of them to show in the picture: (bands, N)."""
    found = []
    for row, rows in _chunks(source.height, max(1, _SCAN_PX // source.width)):
        patch = survey.read(source, Window(0, row, source.width, rows))
        found.append(patch.values[:, patch.valid][:, :_VALUES_PER_SCAN])
    values: Values = np.concatenate(found, axis=1)
    if values.size == 0:
        raise SceneError("The raster holds no valid pixel: all of it is nodata, masked, or black up to the edge.")
    return values
