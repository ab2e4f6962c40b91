"""Pixels that know where they are: transforms, grids, windows and tiles.

Frames: *pixel* coordinates are ``(col, row)``, column to the right, row downwards, with ``(0, 0)`` the outer
corner of the first pixel. *Map* coordinates are ``(x, y)`` in the units of the grid's CRS.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Transform:
    """An affine map from pixel to map coordinates, as in GDAL and rasterio.

    ``x = a * col + b * row + c`` and ``y = d * col + e * row + f``.
    """

    a: float
    b: float
    c: float
    d: float
    e: float
    f: float

    @property
    def determinant(self) -> float:
        """Signed area of one pixel in squared map units; 0 for a degenerate transform."""
        return self.a * self.e - self.b * self.d

    def to_map(self, col: float, row: float) -> tuple[float, float]:
        """Return map ``(x, y)`` of pixel ``(col, row)``."""
        return self.a * col + self.b * row + self.c, self.d * col + self.e * row + self.f

    def to_pixel(self, x: float, y: float) -> tuple[float, float]:
        """Return pixel ``(col, row)`` of map ``(x, y)``."""
        dx, dy = x - self.c, y - self.f
        return (self.e * dx - self.b * dy) / self.determinant, (self.a * dy - self.d * dx) / self.determinant

    def scaled(self, scale_col: float, scale_row: float) -> Transform:
        """Return the transform of a grid whose pixels are that many times larger, from the same corner."""
        return Transform(self.a * scale_col, self.b * scale_row, self.c, self.d * scale_col, self.e * scale_row, self.f)


@dataclass(frozen=True)
class Window:
    """A rectangle of whole pixels: first column and row, width and height in pixels."""

    col: int
    row: int
    width: int
    height: int

    @property
    def col_stop(self) -> int:
        """First column after the window."""
        return self.col + self.width

    @property
    def row_stop(self) -> int:
        """First row after the window."""
        return self.row + self.height

    @property
    def is_empty(self) -> bool:
        """Whether the window holds no pixel."""
        return self.width <= 0 or self.height <= 0

    @property
    def slices(self) -> tuple[slice, slice]:
        """``(rows, columns)`` slices for an array of the frame that this window is given in."""
        return slice(self.row, self.row_stop), slice(self.col, self.col_stop)

    def intersection(self, other: Window) -> Window:
        """Return the common rectangle; empty (zero width or height) where there is none."""
        col, row = max(self.col, other.col), max(self.row, other.row)
        width = min(self.col_stop, other.col_stop) - col
        height = min(self.row_stop, other.row_stop) - row
        return Window(col, row, max(width, 0), max(height, 0))

    def relative_to(self, origin: Window) -> Window:
        """Return the same rectangle in the frame whose ``(0, 0)`` is the corner of `origin`."""
        return Window(self.col - origin.col, self.row - origin.row, self.width, self.height)

    def moved(self, cols: int, rows: int) -> Window:
        """Return the window shifted to the right by `cols` and down by `rows` pixels."""
        return Window(self.col + cols, self.row + rows, self.width, self.height)


@dataclass(frozen=True)
class PixelGrid:
    """A raster's shape and place: size in pixels, transform, CRS as WKT (empty: none)."""

    width: int
    height: int
    transform: Transform
    crs_wkt: str = ""

    @property
    def window(self) -> Window:
        """The whole grid."""
        return Window(0, 0, self.width, self.height)


@dataclass(frozen=True)
class Extent:
    """A rectangle in the map coordinates of the raster's CRS."""

    xmin: float
    ymin: float
    xmax: float
    ymax: float

    def window_on(self, grid: PixelGrid) -> Window:
        """Return the smallest window of whole pixels that covers the extent, cut to the grid; may be empty."""
        corners = [grid.transform.to_pixel(x, y) for x in (self.xmin, self.xmax) for y in (self.ymin, self.ymax)]
        # A hair of tolerance: an extent that was snapped to pixel edges must not grow by one pixel.
        cols = [col for col, _ in corners]
        rows = [row for _, row in corners]
        col, row = math.floor(min(cols) + 1e-6), math.floor(min(rows) + 1e-6)
        width, height = math.ceil(max(cols) - 1e-6) - col, math.ceil(max(rows) - 1e-6) - row
        return Window(col, row, width, height).intersection(grid.window)


@dataclass(frozen=True)
class TileSpan:
    """One tile along one axis: where it reads, and the part of it that it owns, in pixels."""

    start: int
    stop: int
    core_start: int
    core_stop: int


@dataclass(frozen=True)
class Tile:
    """One step of a run. `window` is what the models see; the cores of all tiles cover the grid exactly once."""

    col_index: int
    row_index: int
    window: Window
    core: Window

    @property
    def index(self) -> tuple[int, int]:
        """``(row_index, col_index)``, the order in which tiles are worked through."""
        return self.row_index, self.col_index


@dataclass(frozen=True)
class TileGrid:
    """Overlapping tiles, anchored to the corner of the grid and never to the extent that is asked for.

    The anchoring is what makes a run over a part agree with a run over the whole.

    Attributes:
        width, height: of what the tiles cover, in pixels.
        tile_px, overlap_px: side of a tile, and what neighbours share.
        col, row: first pixel that the tiles cover; other than 0 only where one picture is looked at as a whole.
    """

    width: int
    height: int
    tile_px: int
    overlap_px: int
    col: int = 0
    row: int = 0

    def __post_init__(self) -> None:
        if self.tile_px < 1:
            raise ValueError(f"tile_px {self.tile_px} must be at least 1")
        if not 0 <= self.overlap_px <= self.tile_px // 2:
            raise ValueError(f"overlap_px {self.overlap_px} must lie between 0 and half of tile_px {self.tile_px}")

    @classmethod
    def single(cls, window: Window) -> TileGrid:
        """Return the grid whose only tile is that window."""
        return cls(window.width, window.height, max(window.width, window.height), 0, window.col, window.row)

    @property
    def columns(self) -> list[TileSpan]:
        """The tiles from left to right."""
        return self.spans(self.width, self.col)

    @property
    def rows(self) -> list[TileSpan]:
        """The tiles from top to bottom."""
        return self.spans(self.height, self.row)

    def spans(self, length_px: int, first_px: int = 0) -> list[TileSpan]:
        """Return the tiles along an axis of `length_px` pixels; only the last one may be shorter."""
        stride = self.tile_px - self.overlap_px
        count = max(1, math.ceil((length_px - self.overlap_px) / stride))
        spans = []
        for i in range(count):
            start, stop = i * stride, min(i * stride + self.tile_px, length_px)
            core_start = 0 if i == 0 else start + self.overlap_px // 2
            core_stop = length_px if i == count - 1 else start + stride + self.overlap_px // 2
            spans.append(TileSpan(*(first_px + edge for edge in (start, stop, core_start, core_stop))))
        return spans

    def tiles(self, extent: Window | None = None) -> Iterator[Tile]:
        """Yield the tiles row by row; with `extent`, those whose core holds a pixel of it."""
        columns = self.columns
        for row_index, rows in enumerate(self.rows):
            for col_index, cols in enumerate(columns):
                tile = Tile(
                    col_index,
                    row_index,
                    Window(cols.start, rows.start, cols.stop - cols.start, rows.stop - rows.start),
                    Window(
                        cols.core_start,
                        rows.core_start,
                        cols.core_stop - cols.core_start,
                        rows.core_stop - rows.core_start,
                    ),
                )
                if extent is None or not tile.core.intersection(extent).is_empty:
                    yield tile
