"""A scene opened as one tile, or to be swept in overlapping ones."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rs_textseg_plugin.contract.grid import TileGrid
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.engine.raster.ground_resolution import ground_resolution_m
from rs_textseg_plugin.engine.raster.reader import SceneReader, open_scene

_LEAST_COARSER = 1.05  # a resolution nearer to the raster's own is taken for it


@dataclass(frozen=True)
class SceneTiles:
    """An open scene and how it is cut into tiles.

    Attributes:
        reader: the open scene; whoever opened it closes it.
        is_whole: whether its extent is one picture.
        notes: what was done to make it one.
    """

    reader: SceneReader
    is_whole: bool
    notes: tuple[str, ...] = ()

    def grid(self, tile_px: int, overlap_px: int) -> TileGrid:
        """Return the tiles: one for all of the extent, or overlapping ones."""
        return TileGrid.single(self.reader.extent) if self.is_whole else self.reader.tile_grid(tile_px, overlap_px)


def open_scene_tiles(scene: Scene, view: str, view_px: int) -> SceneTiles:
    """Open a scene.

    Args:
        scene: what is looked at.
        view: ``whole`` (one picture, made coarser where it is larger than `view_px`), ``sweep`` (tiles), or ``auto``
            (one picture if it is no larger than that).
        view_px: longest side of a whole picture, in working pixels.

    Raises:
        SceneError: as `open_scene`.
    """
    reader = open_scene(scene)
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
