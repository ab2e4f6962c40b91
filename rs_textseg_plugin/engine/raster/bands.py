"""The chosen bands of a raster: their values, and which pixels the raster calls missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio.windows
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from rs_textseg_plugin.contract.errors import SceneError
from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.contract.scene import Scene, default_bands
from rs_textseg_plugin.engine.raster.resample import axis_weights, resample

Bools = NDArray[np.bool_]
Values = NDArray[Any]  # integers or floats, as in the raster


@dataclass(frozen=True, eq=False)
class Patch:
    """Values as they are in the raster.

    Attributes:
        values: (bands, rows, columns) in the raster's dtype; one band (grey) or three.
        valid: (rows, columns) bool: False where the raster declares no value, or one that is no number.
    """

    values: Values
    valid: Bools


@dataclass(frozen=True, eq=False)
class BandChoice:
    """What is read from a raster.

    Attributes:
        numbers: 1-based bands in the file.
        dtype: of the values handed out.
        palette: (entries, 4) uint8 red, green, blue, alpha of a colour table; None: the values are no indices.
        nodata: a value that marks missing pixels beside what the file declares.
        notes: what was assumed, in words.
    """

    numbers: tuple[int, ...]
    dtype: np.dtype[np.generic]
    palette: NDArray[np.uint8] | None = None
    nodata: float | None = None
    notes: tuple[str, ...] = ()


def choose_bands(dataset: DatasetReader, scene: Scene) -> BandChoice:
    """Return the bands that are read for a scene.

    A colour table counts as three bands, so a raster that has one may be asked for with the default bands.

    Raises:
        SceneError: a band that does not exist, neither one nor three bands, or complex values.
    """
    bands = scene.bands or default_bands(dataset.count)
    palette = _palette(dataset, bands)
    if palette is not None:
        note = "The raster has a colour table: its colours are used as red, green and blue."
        return BandChoice((1,), np.dtype(np.uint8), palette, scene.nodata, (note,))
    _require_bands(dataset, bands)
    kinds = [dataset.dtypes[band - 1] for band in bands]
    if any("complex" in kind for kind in kinds):
        raise SceneError(f"{dataset.name} holds complex numbers: convert it to intensity or amplitude first.")
    return BandChoice(bands, np.result_type(*kinds), None, scene.nodata)


def _palette(dataset: DatasetReader, bands: Sequence[int]) -> NDArray[np.uint8] | None:
    asked = tuple(bands) == (1,) or (dataset.count == 1 and tuple(bands) == (1, 2, 3))
    if not asked or dataset.colorinterp[0] != ColorInterp.palette:
        return None
    try:
        colours = dataset.colormap(1)
    except ValueError:  # the band says palette, but there is none
        return None
    size = np.iinfo(dataset.dtypes[0]).max + 1
    palette = np.zeros((size, 4), np.uint8)  # an index without an entry is transparent: missing
    for index, colour in colours.items():
        palette[index] = colour
    return palette


def _require_bands(dataset: DatasetReader, bands: Sequence[int]) -> None:
    asked = ", ".join(map(str, bands))
    has = f"{dataset.name} has {dataset.count} band{'s' if dataset.count != 1 else ''}"
    advice = "--bands 1 for a grey image" if dataset.count < 3 else "--bands 1,2,3"
    if not all(1 <= band <= dataset.count for band in bands):
        raise SceneError(f"{has}, but bands {asked} were asked for: choose among them, for example {advice}.")
    if len(bands) not in (1, 3):
        raise SceneError(f"{has}, and bands {asked} were asked for: give one band (grey) or three, such as {advice}.")


@contextmanager
def _explained(dataset: DatasetReader, window: Window) -> Iterator[None]:
    try:
        yield
    except RasterioError as error:
        place = f"columns {window.col} to {window.col_stop - 1}, rows {window.row} to {window.row_stop - 1}"
        raise SceneError(
            f"{dataset.name} cannot be read at {place} ({error.__cause__ or error}): "
            "the file is probably damaged or incomplete, so copy or download it again."
        ) from error


class BandSource:
    """The chosen bands at one level: the raster's own pixels, or an overview of them.

    Attributes:
        width, height: of the level, in its own pixels.
        factor_col, factor_row: the raster's own pixels per pixel of the level.
        in_strips: whether the file holds whole rows instead of tiles.
        choice: what is read.
    """

    def __init__(self, native: DatasetReader, choice: BandChoice, overview: DatasetReader | None = None) -> None:
        self.choice = choice
        self._native = native
        self._level = overview or native
        self.width, self.height = int(self._level.width), int(self._level.height)
        self.factor_col, self.factor_row = native.width / self.width, native.height / self.height
        self.in_strips = bool(self._level.block_shapes[0][1] >= self.width)

    def read(self, window: Window) -> Patch:
        """Read a window in the pixels of this level.

        Raises:
            SceneError: the file is damaged there.
        """
        with _explained(self._level, window):
            return self._understood(self._raw(window, (window.height, window.width)), self._declared(window))

    def sampled(self, window: Window, step_px: int) -> Patch:
        """Read every `step_px`-th pixel of a window whose sides are multiples of it.

        GDAL uses overviews here where the raster has them.

        Raises:
            SceneError: the file is damaged there.
        """
        shape = (window.height // step_px, window.width // step_px)
        with _explained(self._level, window):
            return self._understood(self._raw(window, shape), self._mask(self._level, window, shape))

    def _raw(self, window: Window, shape: tuple[int, int]) -> Values:
        numbers, place = self.choice.numbers, _rasterio_window(window)
        kinds = {self._level.dtypes[number - 1] for number in numbers}
        if len(kinds) == 1:
            raw: Values = self._level.read(list(numbers), window=place, out_shape=(len(numbers), *shape))
            return raw
        return np.stack([self._level.read(number, window=place, out_shape=shape) for number in numbers])

    def _declared(self, window: Window) -> Bools | None:
        """What the raster says about missing pixels; None: nothing is missing.

        A mask band may lack the overviews that the bands have. GDAL then says of an overview that all of it is valid,
        so the mask is read in the raster's own pixels.
        """
        has_mask_band = MaskFlags.per_dataset in self._level.mask_flag_enums[self.choice.numbers[0] - 1]
        if self._level is self._native or not has_mask_band:
            return self._mask(self._level, window, (window.height, window.width))
        rows = axis_weights(window.row, window.row_stop, self.factor_row, self._native.height)
        cols = axis_weights(window.col, window.col_stop, self.factor_col, self._native.width)
        native = Window(cols.start, rows.start, cols.stop - cols.start, rows.stop - rows.start)
        mask = self._mask(self._native, native, (native.height, native.width))
        if mask is None:
            return None
        return resample(np.zeros((1, *mask.shape), np.float32), mask, rows, cols)[1]

    def _mask(self, dataset: DatasetReader, window: Window, shape: tuple[int, int]) -> Bools | None:
        numbers = [n for n in self.choice.numbers if MaskFlags.all_valid not in dataset.mask_flag_enums[n - 1]]
        if len(numbers) < len(self.choice.numbers):
            return None
        if MaskFlags.per_dataset in dataset.mask_flag_enums[numbers[0] - 1]:
            numbers = numbers[:1]  # an alpha or mask band is the same for all
        masks = dataset.read_masks(numbers, window=_rasterio_window(window), out_shape=(len(numbers), *shape))
        # A pixel is missing when every band is: a zero in one band is a colour.
        valid: Bools = (masks > 0).any(axis=0)
        return valid

    def _understood(self, raw: Values, declared: Bools | None) -> Patch:
        valid = np.ones(raw.shape[1:], bool) if declared is None else declared
        if self.choice.nodata is not None:
            valid &= ~(raw == self.choice.nodata).all(axis=0)
        if self.choice.palette is not None:
            colours = self.choice.palette[raw[0]]
            return Patch(np.moveaxis(colours[..., :3], -1, 0), valid & (colours[..., 3] > 0))
        if np.issubdtype(raw.dtype, np.floating):
            valid &= np.isfinite(raw).all(axis=0)
        return Patch(raw, valid)


def _rasterio_window(window: Window) -> rasterio.windows.Window:
    return rasterio.windows.Window(window.col, window.row, window.width, window.height)
