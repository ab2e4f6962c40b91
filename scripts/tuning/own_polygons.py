"""A user's own polygons: a raster, and a layer with a column that says in words what each polygon is.

The raster is read and stretched as the product does it, and cut into views that do not overlap, so that none of them
shares a pixel with one that is held out. In a view, polygons with the same words are the things that these words mean;
of a polygon that goes on outside, the part inside is one.

A share of the views also gets a phrase that the layer has elsewhere and not here, with nothing as its answer. That is
right only where the layer holds all that its words mean.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataSourceError
from pyproj import CRS, Transformer
from rasterio.features import rasterize
from shapely.affinity import translate

from rs_textseg_plugin.contract.errors import SceneError
from rs_textseg_plugin.contract.grid import PixelGrid, Window
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.engine.raster.reader import SceneReader, open_scene
from tuning.examples import Example, Shown, in_split

_SMALLEST_PX = 16  # of the part of a polygon that is in a view


@dataclass(frozen=True)
class PolygonData:
    """Where a user's data is, and how it is cut.

    Attributes:
        scene: the raster, with bands, stretch and working resolution.
        layer: the file with the polygons.
        column: of the words.
        view_px: side of a view in working pixels.
        held_out: see `in_split`.
        empty: share of the views (0..1) that are also asked for something that is not there.
    """

    scene: Scene
    layer: Path
    column: str
    view_px: int
    held_out: float = 0.1
    empty: float = 0.1


def read_polygons(data: PolygonData, split: str) -> list[Example]:
    """Return the questions of a split, view by view.

    Raises:
        SceneError: raster or layer cannot be read, or the layer has no such column.
    """
    reader = _opened(data.scene)
    words, polygons = _on_grid(data, reader.grid)
    tree = shapely.STRtree(polygons)
    windows = [tile.window for tile in reader.tile_grid(data.view_px, 0).tiles()]
    keys = [f"polygons/{Path(data.scene.path).name}/{window.col}/{window.row}" for window in windows]
    chosen = [pair for pair, is_chosen in zip(zip(keys, windows), in_split(keys, split, data.held_out)) if is_chosen]
    return [
        Example(f"{key}/{phrase}", phrase, phrase, partial(_read, data.scene, window, parts))
        for key, window in chosen
        for phrase, parts in _asked(key, _inside(window, tree, words), sorted(set(words)), data.empty).items()
    ]


def _on_grid(data: PolygonData, grid: PixelGrid) -> tuple[list[str], NDArray[Any]]:
    """Return the words of the polygons, and the polygons in pixels of the working grid."""
    try:
        meta, _, wkb, values = pyogrio.raw.read(data.layer, columns=[data.column])
    except (DataSourceError, ValueError) as error:
        raise SceneError(f"The layer {data.layer} cannot be read ({error}): name a file with polygons.") from error
    if data.column not in meta["fields"]:
        raise SceneError(f"The layer {data.layer} has no column {data.column!r}: name the one with the words.")
    texts = ["" if value is None else str(value).strip() for value in values[0]]
    geometries = shapely.from_wkb(wkb)
    kept = np.array([bool(text) for text in texts], np.bool_) & (shapely.area(geometries) > 0)
    if not kept.any():
        raise SceneError(f"The layer {data.layer} has no polygon with words in its column {data.column!r}.")
    placed = _to_pixels(_in_crs(geometries[kept], str(meta["crs"] or ""), grid.crs_wkt), grid)
    return [text for text, is_kept in zip(texts, kept) if is_kept], placed


def _in_crs(geometries: NDArray[Any], own_crs: str, wanted_crs: str) -> NDArray[Any]:
    if not own_crs or not wanted_crs or CRS.from_user_input(own_crs) == CRS.from_user_input(wanted_crs):
        return geometries
    transformer = Transformer.from_crs(own_crs, wanted_crs, always_xy=True)
    moved: NDArray[Any] = shapely.transform(geometries, lambda xy: np.column_stack(transformer.transform(*xy.T)))
    return moved


def _to_pixels(geometries: NDArray[Any], grid: PixelGrid) -> NDArray[Any]:
    placed: NDArray[Any] = shapely.transform(geometries, lambda xy: np.column_stack(grid.transform.to_pixel(*xy.T)))
    return placed


def _inside(window: Window, tree: shapely.STRtree, words: Sequence[str]) -> dict[str, list[Any]]:
    """Return the parts of polygons that are in a view, in its pixels, by their words."""
    frame = shapely.box(window.col, window.row, window.col_stop, window.row_stop)
    found: dict[str, list[Any]] = {}
    for number in sorted(tree.query(frame, predicate="intersects")):
        part = shapely.intersection(shapely.make_valid(tree.geometries[number]), frame)
        if shapely.area(part) >= _SMALLEST_PX:
            found.setdefault(words[number], []).append(translate(part, -window.col, -window.row))
    return found


def _asked(key: str, inside: Mapping[str, list[Any]], phrases: Sequence[str], empty: float) -> dict[str, list[Any]]:
    """Return what a view is asked for: what is there, and now and then something that is not."""
    absent = [phrase for phrase in phrases if phrase not in inside]
    chance = zlib.crc32(f"{key}/empty".encode())
    is_asked = absent and chance / 2**32 < empty
    return {**inside, **({absent[chance % len(absent)]: []} if is_asked else {})}


def _read(scene: Scene, window: Window, parts: Sequence[Any]) -> Shown:
    size = window.height, window.width
    masks = [rasterize([part], size, dtype=np.uint8).view(np.bool_) for part in parts]
    return Shown(_opened(scene).read(window).rgb, tuple(mask for mask in masks if mask.any()))


@lru_cache(maxsize=2)
def _opened(scene: Scene) -> SceneReader:
    """Return an open raster: its stretch is measured once, not for every view."""
    return open_scene(scene)
