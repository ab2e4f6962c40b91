"""A scene opened as one tile, to be swept in overlapping ones, or as one picture whose answer is cut into tiles."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rs_textseg_plugin.contract.errors import SceneError
from rs_textseg_plugin.contract.grid import Tile, TileGrid, Window
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.engine.raster.ground_resolution import ground_resolution_m
from rs_textseg_plugin.engine.raster.reader import SceneReader, open_scene

_LEAST_COARSER = 1.05  # a resolution nearer to the raster's own is taken for it
_LARGEST_PICTURE_PX = 8192
_PICTURE_TILE_PX = 1024  # what is decided and painted at once of a picture, so that memory does not grow with it


@dataclass(frozen=True)
class Look:
    """What the models see at once.

    Attributes:
        window: on the working grid.
        tiles: those that the answer is for: one, or all that a picture is cut into.
    """

    window: Window
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class SceneTiles:
    """An open scene and how it is cut into tiles.

    Attributes:
        reader: the open scene; whoever opened it closes it.
        is_whole: whether its extent is one tile.
        notes: what was done to make it one.
        is_picture: whether the models see its extent at once, and tiles only hold parts of the answer.
    """

    reader: SceneReader
    is_whole: bool
    notes: tuple[str, ...] = ()
    is_picture: bool = False

    def grid(self, tile_px: int, overlap_px: int) -> TileGrid:
        """Return the tiles: one for all of the extent, overlapping ones, or the parts of a picture."""
        extent = self.reader.extent
        if self.is_picture:
            return TileGrid(extent.width, extent.height, _PICTURE_TILE_PX, 0, extent.col, extent.row)
        return TileGrid.single(extent) if self.is_whole else self.reader.tile_grid(tile_px, overlap_px)

    def looks(self, grid: TileGrid) -> list[Look]:
        """Return what the models see, one after the other: each tile, or the picture that all tiles are parts of."""
        tiles = tuple(grid.tiles(self.reader.extent))
        return [Look(self.reader.extent, tiles)] if self.is_picture else [Look(tile.window, (tile,)) for tile in tiles]


def open_scene_tiles(scene: Scene, view: str, view_px: int) -> SceneTiles:
    """Open a scene.

    Args:
        scene: what is looked at.
        view: ``whole`` (one picture, made coarser where it is larger than `view_px`), ``sweep`` (tiles), ``auto``
            (one picture if it is no larger than that), or ``picture`` (one picture, never made coarser).
        view_px: longest side of a whole picture, in working pixels.

    Raises:
        SceneError: as `open_scene`, or the extent is too large for one picture.
    """
    reader = open_scene(scene)
    if view == "picture":
        return _as_picture(reader)
    longest_px = max(reader.extent.width, reader.extent.height)
    if view == "sweep" or (view == "auto" and longest_px > view_px):
        return SceneTiles(reader, is_whole=False)
    if longest_px <= view_px:
        return SceneTiles(reader, is_whole=True)
    reader.close()
    # One pixel less, since a coarser grid can begin within a pixel of the extent's corner and end within another.
    coarser = max(longest_px / max(view_px - 1, 1), _LEAST_COARSER)
    metres = sum(ground_resolution_m(reader.grid)) / 2 * coarser
    size = f"{reader.extent.width} x {reader.extent.height} px"
    note = f"The extent of {size} was made one picture of at most {view_px} px, with pixels of {metres:.3g} m."
    return SceneTiles(open_scene(replace(scene, ground_resolution_m=metres)), is_whole=True, notes=(note,))


def _as_picture(reader: SceneReader) -> SceneTiles:
    width, height = reader.extent.width, reader.extent.height
    if max(width, height) <= _LARGEST_PICTURE_PX:
        return SceneTiles(reader, is_whole=False, is_picture=True)
    reader.close()
    raise SceneError(
        f"The extent has {width} x {height} working pixels, and look=picture sees it at once, which is done up to "
        f"{_LARGEST_PICTURE_PX} px a side: take the preset native, which sweeps, a smaller extent, or a coarser "
        "resolution."
    )
