"""Reading a scene: windows of 8-bit colour on one grid, the same pixels whatever window they are read in.

The *working grid* starts at the raster's first corner and never at the extent that is asked for. It is the raster's
own grid, or one of square pixels on the ground when the scene wants another resolution.
"""

from __future__ import annotations

import threading
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from types import TracebackType

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from rs_textseg_plugin.contract.errors import SceneError
from rs_textseg_plugin.contract.grid import PixelGrid, TileGrid, Window
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.engine.raster.bands import BandSource, Patch, Values, choose_bands
from rs_textseg_plugin.engine.raster.file_state import FileState, state_of_files
from rs_textseg_plugin.engine.raster.georeference import WorkingGrid, native_grid, working_grid
from rs_textseg_plugin.engine.raster.region import Region, asked_region
from rs_textseg_plugin.engine.raster.resample import Floats, axis_weights, resample
from rs_textseg_plugin.engine.raster.survey import Levels, Survey, take_survey

# In bytes: rasterio hands this option to GDAL as bytes, whatever GDAL's own text says about megabytes. The first holds
# the blocks that neighbouring tiles share. A raster in strips needs a whole row of tiles, or every tile of the row
# would decode all of its strips again: the second holds one of an RGB raster 70,000 px wide.
_CACHE_BYTES, _STRIPS_CACHE_BYTES = 64 * 1024**2, 256 * 1024**2
_SEARCH_PX = 1024
_SOURCE_PX_AT_ONCE = 16_000_000  # 200 MB in float32 with three bands


@dataclass(frozen=True, eq=False)
class TileImage:
    """What the models see of a window.

    Attributes:
        rgb: (height, width, 3) uint8, C-contiguous; 0 where not valid.
        valid: (height, width) bool: False for nodata, masked, not-a-number and collar pixels.
        window: on the working grid.
    """

    rgb: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    window: Window

    def cut(self, part: Window) -> TileImage:
        """Return a part of it, given relative to its own corner."""
        rgb, valid = (np.ascontiguousarray(pixels[part.slices]) for pixels in (self.rgb, self.valid))
        return TileImage(rgb, valid, part.moved(self.window.col, self.window.row))


class SceneReader:
    """An open scene. One reader thread at a time reads; others wait.

    Attributes:
        grid: the working grid; every window of this class is given on it.
        native_grid: the raster's own grid.
        extent: smallest window around what the scene asks for.
        stretch: how values become 8-bit, one for the whole raster; see `engine.raster.survey.Levels`.
        notes: what was assumed or found, in words fit for the user.
        file_state: what changes when a file does that the raster is read from; None: that cannot be known.
    """

    def __init__(self, parts: _Parts, handles: ExitStack) -> None:
        self.grid: PixelGrid = parts.working.grid
        self.native_grid = parts.native_grid
        self.extent: Window = parts.region.window
        self.stretch: Levels = parts.survey.levels
        self.notes = parts.notes
        self.file_state = parts.file_state
        self._parts = parts
        self._handles = handles
        self._lock = threading.Lock()

    def __enter__(self) -> SceneReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the raster; a second call does nothing."""
        with self._lock:
            self._handles.close()

    def tile_grid(self, tile_px: int, overlap_px: int) -> TileGrid:
        """Return overlapping tiles of the working grid, anchored to its first corner."""
        return TileGrid(self.grid.width, self.grid.height, tile_px, overlap_px)

    def inside(self, window: Window) -> NDArray[np.bool_]:
        """Return (height, width) bool: True where the scene's extent and mask ask for the pixel."""
        return self._parts.region.inside(window)

    def read(self, window: Window) -> TileImage:
        """Read a window; every pixel is the same in whatever window it is read.

        Raises:
            SceneError: the file is damaged there.
            ValueError: the window is empty or sticks out of the grid.
        """
        if window.is_empty or window.intersection(self.grid.window) != window:
            raise ValueError(f"{window} is no part of the grid of {self.grid.width} x {self.grid.height} px")
        with self._lock, gdal_settings(self._parts.source.in_strips):
            strips = [self._strip(strip) for strip in self._strips(window)]
        if len(strips) == 1:
            return strips[0]
        rgb, valid = np.concatenate([s.rgb for s in strips]), np.concatenate([s.valid for s in strips])
        return TileImage(rgb, valid, window)

    def _strips(self, window: Window) -> Iterator[Window]:
        """Cut a window that is large in the raster's pixels, so that memory does not grow with it."""
        source, working = self._parts.source, self._parts.working
        row_px = window.width * working.scale_col / source.factor_col * working.scale_row / source.factor_row
        rows = max(1, int(_SOURCE_PX_AT_ONCE / row_px))
        for row in range(window.row, window.row_stop, rows):
            yield Window(window.col, row, window.width, min(rows, window.row_stop - row))

    def _strip(self, window: Window) -> TileImage:
        source, working = self._parts.source, self._parts.working
        rows = axis_weights(window.row, window.row_stop, working.scale_row / source.factor_row, source.height)
        cols = axis_weights(window.col, window.col_stop, working.scale_col / source.factor_col, source.width)
        needed = Window(cols.start, rows.start, cols.stop - cols.start, rows.stop - rows.start)
        patch = self._parts.survey.read(source, needed)
        if rows.matrix is None and cols.matrix is None and _is_eight_bit(patch.values) and self.stretch.keeps_bytes:
            return _tile_image(patch.values, patch.valid, window)
        values, valid = resample(_as_floats(patch), patch.valid, rows, cols)
        return _tile_image(self.stretch.apply(values), valid, window)


def open_scene(scene: Scene) -> SceneReader:
    """Open a scene for reading; use it as a context manager.

    All of the raster is looked at once, in about a million pixels: see `engine.raster.survey`.

    Raises:
        SceneError: the scene cannot be read as asked; the message says why and what to do.
    """
    with ExitStack() as handles, gdal_settings():
        parts = _parts(scene, handles)
        reader = SceneReader(parts, handles.pop_all())
        handles.callback(reader.close)
        _require_valid(reader, parts)
        handles.pop_all()
        return reader


def prefetched(
    reader: SceneReader, windows: Iterable[Window], ahead: int | Callable[[], int]
) -> Generator[TileImage, None, None]:
    """Yield the windows' images in order, while a thread reads the next ones.

    Closing the iterator early, or an error while reading, ends the thread; the error is raised here.

    Args:
        reader: open until the iterator is done or closed.
        windows: asked for one by one, in the caller's thread.
        ahead: how many images may be read or kept beside the one that is worked on; as a function, asked again
            before every image, so that it can shrink when memory gets short.
    """
    waiting = iter(windows)
    pending: deque[Future[TileImage]] = deque()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="scene-reader") as thread:
        try:
            while True:
                limit = 1 + max(0, ahead() if callable(ahead) else ahead)
                for window in islice(waiting, max(0, limit - len(pending))):
                    pending.append(thread.submit(reader.read, window))
                if not pending:
                    return
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


@dataclass(frozen=True, eq=False)
class _Parts:
    """What a reader is made of."""

    source: BandSource
    survey: Survey
    native_grid: PixelGrid
    working: WorkingGrid
    region: Region
    notes: tuple[str, ...]
    file_state: FileState | None


def _parts(scene: Scene, handles: ExitStack) -> _Parts:
    native = handles.enter_context(_opened(scene.path))
    grid, grid_notes = native_grid(native, scene)
    choice = choose_bands(native, scene)
    working = working_grid(grid, scene.ground_resolution_m)
    region = asked_region(scene, working.grid)
    source = BandSource(native, choice)
    survey = take_survey(source, scene.stretch)
    level = _overview_level(native, min(working.scale_col, working.scale_row))
    if level is not None:
        source = BandSource(native, choice, handles.enter_context(_opened(scene.path, overview_level=level)))
    notes = (*grid_notes, *choice.notes, *working.notes, *survey.notes)
    return _Parts(source, survey, grid, working, region, notes, state_of_files(native))


def gdal_settings(in_strips: bool = False) -> rasterio.Env:
    """Return GDAL's settings for reading and writing rasters: its cache would else take 5 % of the memory."""
    return rasterio.Env(GDAL_CACHEMAX=_STRIPS_CACHE_BYTES if in_strips else _CACHE_BYTES)


def _opened(path: str, **options: int) -> DatasetReader:
    try:
        with warnings.catch_warnings():
            # A raster without georeference is told to the user as a note.
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = rasterio.open(path, sharing=False, **options)
    except RasterioError as error:
        if "No such file" in str(error):
            raise SceneError(f"There is no raster {path!r}: check its path.") from error
        raise SceneError(f"{path!r} cannot be opened as a raster ({error}): give a raster file.") from error
    if dataset.count == 0:
        inner = ", ".join(dataset.subdatasets[:5]) or "none"
        dataset.close()
        raise SceneError(f"{path!r} has no band of its own: choose one of the rasters in it ({inner}).")
    return dataset


def _overview_level(dataset: DatasetReader, scale: float) -> int | None:
    """The smallest overview that still has at least the wanted resolution; None: the raster's own pixels."""
    factors = dataset.overviews(1)
    fitting = [(factor, level) for level, factor in enumerate(factors) if factor <= scale * (1 + 1e-3)]
    has_all = all(dataset.overviews(number) == factors for number in dataset.indexes)  # else GDAL refuses it
    return max(fitting)[1] if fitting and has_all else None


def _is_eight_bit(values: Values) -> bool:
    return values.dtype == np.uint8


def _as_floats(patch: Patch) -> Floats:
    """The values in a type wide enough to hold them; what is not valid is 0 (it may have been infinite)."""
    values: Floats = patch.values.astype(np.result_type(patch.values.dtype, np.float32))
    if not patch.valid.all():
        values[:, ~patch.valid] = 0
    return values


def _tile_image(colours: Values, valid: NDArray[np.bool_], window: Window) -> TileImage:
    rgb = np.empty((*valid.shape, 3), np.uint8)
    rgb[...] = np.moveaxis(colours, 0, -1)  # a single band becomes grey
    rgb[~valid] = 0
    return TileImage(rgb, np.ascontiguousarray(valid), window)


def _require_valid(reader: SceneReader, parts: _Parts) -> None:
    """Look for one valid pixel, first where the survey's picture promises most of them."""
    for window in sorted(_pieces(reader.extent), key=lambda piece: -_promise(parts, piece)):
        if (reader.read(window).valid & reader.inside(window)).any():
            return
    raise SceneError(
        "The part of the raster that is asked for holds no valid pixel: "
        "all of it is nodata, masked, or black up to the raster's edge, so choose another extent."
    )


def _pieces(extent: Window) -> Iterator[Window]:
    for row in range(extent.row, extent.row_stop, _SEARCH_PX):
        for col in range(extent.col, extent.col_stop, _SEARCH_PX):
            yield Window(col, row, _SEARCH_PX, _SEARCH_PX).intersection(extent)


def _promise(parts: _Parts, window: Window) -> int:
    """Valid pixels of the survey's picture in a window."""
    working, survey = parts.working, parts.survey
    col_px, row_px = working.scale_col / survey.step_px, working.scale_row / survey.step_px
    rows = slice(int(window.row * row_px), int(window.row_stop * row_px) + 1)
    cols = slice(int(window.col * col_px), int(window.col_stop * col_px) + 1)
    return int(np.count_nonzero(survey.valid[rows, cols]))
