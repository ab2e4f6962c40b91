"""Answers of tiles on disk, so that memory does not grow with the raster."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rs_textseg_plugin.contract.grid import Tile, Window
from rs_textseg_plugin.engine.class_map import ClassMap
from rs_textseg_plugin.engine.segments import Answer, PackedMask, Segment

_KEPT = 12  # a core is painted from at most nine tiles


@dataclass(frozen=True)
class StoredTile:
    """A tile with its answer and its valid pixels."""

    tile: Tile
    answer: Answer
    valid: PackedMask


class TileStore:
    """Answers by tile index, one file each; the few used last stay in memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tiles: dict[tuple[int, int], Tile] = {}
        self._recent: OrderedDict[tuple[int, int], StoredTile] = OrderedDict()

    def __contains__(self, index: tuple[int, int]) -> bool:
        return index in self._tiles

    def put(self, stored: StoredTile) -> None:
        """Write an answer; the tile counts as present from now on."""
        index = stored.tile.index
        np.savez(self._path(index), **_to_arrays(stored))
        self._tiles[index] = stored.tile
        self._remember(index, stored)

    def get(self, index: tuple[int, int]) -> StoredTile:
        """Return an answer that was put before."""
        if index in self._recent:
            self._recent.move_to_end(index)
            return self._recent[index]
        with np.load(self._path(index), allow_pickle=False) as arrays:
            stored = _from_arrays(self._tiles[index], dict(arrays))
        self._remember(index, stored)
        return stored

    def tile(self, index: tuple[int, int]) -> Tile:
        """Return the tile of that index without reading its answer."""
        return self._tiles[index]

    def _remember(self, index: tuple[int, int], stored: StoredTile) -> None:
        self._recent[index] = stored
        while len(self._recent) > _KEPT:
            self._recent.popitem(last=False)

    def _path(self, index: tuple[int, int]) -> Path:
        return self._folder / f"tile_{index[0]}_{index[1]}.npz"


def _to_arrays(stored: StoredTile) -> dict[str, NDArray[Any]]:
    segments = stored.answer.segments
    windows = [(s.window.col, s.window.row, s.window.width, s.window.height) for s in segments]
    arrays = {
        "valid": stored.valid.bits,
        "windows": np.array(windows, np.int32).reshape(-1, 4),
        "labels": np.array([s.label for s in segments], np.int32),
        "scores": np.array([s.scores for s in segments], np.float32),
        "bits": np.concatenate([np.empty(0, np.uint8), *(s.mask.bits for s in segments)]),
        "sizes": np.array([len(s.mask.bits) for s in segments], np.int64),
    }
    class_map = stored.answer.class_map
    if class_map is not None:
        frames = [class_map.frame, *class_map.windows]
        arrays["map_logits"] = class_map.window_logits
        arrays["map_windows"] = np.array([(w.col, w.row, w.width, w.height) for w in frames], np.int32)
        arrays["map_shapes"] = np.array([class_map.canvas, class_map.tile], np.int32)
        arrays["map_overlap"] = np.array(class_map.overlap_px)
    return arrays


def _from_arrays(tile: Tile, arrays: dict[str, NDArray[Any]]) -> StoredTile:
    bits = np.split(arrays["bits"], np.cumsum(arrays["sizes"])[:-1]) if len(arrays["sizes"]) else []
    windows = [Window(*map(int, row)) for row in arrays["windows"]]
    segments = tuple(
        Segment(window, PackedMask(part, window.height, window.width), int(label), scores)
        for window, part, label, scores in zip(windows, bits, arrays["labels"], arrays["scores"])
    )
    valid = PackedMask(arrays["valid"], tile.window.height, tile.window.width)
    return StoredTile(tile, Answer(segments, _class_map(arrays)), valid)


def _class_map(arrays: dict[str, NDArray[Any]]) -> ClassMap | None:
    if "map_logits" not in arrays:
        return None
    frame, *windows = (Window(*map(int, row)) for row in arrays["map_windows"])
    canvas, tile = ((int(height), int(width)) for height, width in arrays["map_shapes"])
    return ClassMap(arrays["map_logits"], tuple(windows), frame, canvas, tile, int(arrays["map_overlap"]))
