"""Answers of tiles on disk, so that memory does not grow with the raster."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rs_textseg_plugin.contract.grid import Tile, Window
from rs_textseg_plugin.engine.answers.answer import Answer, PackedMask, RemarkMap, Segment
from rs_textseg_plugin.engine.answers.class_map import ClassMap, ProbabilityMap
from rs_textseg_plugin.engine.answers.placed import PlacedMap
from rs_textseg_plugin.engine.answers.soft_vote import SoftVote, Vote
from rs_textseg_plugin.engine.disk.full_disk import written_whole

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
        path, content = self._path(index), BytesIO()
        np.savez(content, **_to_arrays(stored))  # in memory: a zip that cannot be written whole prints a traceback
        with written_whole(path):
            path.write_bytes(content.getbuffer())
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
    return {
        "valid": stored.valid.bits,
        "labels": np.array([s.label for s in segments], np.int32),
        "scores": np.array([s.scores for s in segments], np.float32),
        "merged": np.array(stored.answer.merged, np.int32),
        **_mask_arrays("", segments),
        **_map_arrays(stored.answer.class_map),
        **_remark_arrays(stored.answer),
    }


def _from_arrays(tile: Tile, arrays: dict[str, NDArray[Any]]) -> StoredTile:
    remarks = arrays["remarks"] if "remarks" in arrays else repeat("")
    segments = tuple(
        Segment(window, mask, int(label), scores, str(remark))
        for (window, mask), label, scores, remark in zip(
            _masks("", arrays), arrays["labels"], arrays["scores"], remarks
        )
    )
    valid = PackedMask(arrays["valid"], tile.window.height, tile.window.width)
    answer = Answer(segments, _map(arrays), tuple(map(int, arrays["merged"])), _remark_map(arrays))
    return StoredTile(tile, answer, valid)


def _remark_arrays(answer: Answer) -> dict[str, NDArray[Any]]:
    """Return nothing where nothing was said, which is most often so."""
    arrays: dict[str, NDArray[Any]] = {}
    if any(segment.remark for segment in answer.segments):
        arrays["remarks"] = np.array([segment.remark for segment in answer.segments], np.str_)
    if answer.remarks is not None:
        arrays["remark_numbers"] = answer.remarks.numbers
        arrays["remark_texts"] = np.array(answer.remarks.texts, np.str_)
    return arrays


def _remark_map(arrays: dict[str, NDArray[Any]]) -> RemarkMap | None:
    if "remark_numbers" not in arrays:
        return None
    return RemarkMap(arrays["remark_numbers"], tuple(map(str, arrays["remark_texts"])))


def _mask_arrays(prefix: str, masks: Sequence[Segment | Vote]) -> dict[str, NDArray[Any]]:
    return {
        f"{prefix}windows": _window_array([mask.window for mask in masks]),
        f"{prefix}bits": np.concatenate([np.empty(0, np.uint8), *(mask.mask.bits for mask in masks)]),
        f"{prefix}sizes": np.array([len(mask.mask.bits) for mask in masks], np.int64),
    }


def _masks(prefix: str, arrays: dict[str, NDArray[Any]]) -> Iterator[tuple[Window, PackedMask]]:
    stops = np.cumsum(arrays[f"{prefix}sizes"])
    for window, part in zip(_windows(arrays[f"{prefix}windows"]), np.split(arrays[f"{prefix}bits"], stops)):
        yield window, PackedMask(part, window.height, window.width)


def _map_arrays(class_map: ProbabilityMap | None) -> dict[str, NDArray[Any]]:
    if isinstance(class_map, PlacedMap):
        return {**_map_arrays(class_map.inner), "map_place": _window_array([class_map.window])}
    if isinstance(class_map, SoftVote):
        return {
            **_map_arrays(class_map.dense),
            **_mask_arrays("vote_", class_map.votes),
            "vote_scores": np.array([vote.scores for vote in class_map.votes], np.float32),
            "vote_qualities": np.array([vote.quality for vote in class_map.votes], np.float64),
            "vote_weight": np.array(class_map.weight),
            "vote_keeps_uncovered": np.array(class_map.keeps_uncovered),
        }
    if isinstance(class_map, ClassMap):
        return {
            "map_logits": class_map.window_logits,
            "map_windows": _window_array([class_map.frame, *class_map.windows]),
            "map_shapes": np.array([class_map.canvas, class_map.tile], np.int32),
            "map_overlap": np.array(class_map.overlap_px),
        }
    if class_map is not None:
        raise TypeError(f"A map of the type {type(class_map).__name__} cannot be stored: teach this module how.")
    return {}


def _map(arrays: dict[str, NDArray[Any]]) -> ProbabilityMap | None:
    if "map_logits" not in arrays:
        return None
    if "map_place" in arrays:
        (place,) = _windows(arrays["map_place"])
        inner = _map({name: array for name, array in arrays.items() if name != "map_place"})
        return inner and PlacedMap(inner, place)
    dense = _class_map(arrays)
    if "vote_weight" not in arrays:
        return dense
    votes = tuple(
        Vote(window, mask, scores, float(quality))
        for (window, mask), scores, quality in zip(
            _masks("vote_", arrays), arrays["vote_scores"], arrays["vote_qualities"]
        )
    )
    return SoftVote(dense, votes, float(arrays["vote_weight"]), bool(arrays["vote_keeps_uncovered"]))


def _class_map(arrays: dict[str, NDArray[Any]]) -> ClassMap:
    frame, *windows = _windows(arrays["map_windows"])
    canvas, tile = ((int(height), int(width)) for height, width in arrays["map_shapes"])
    return ClassMap(arrays["map_logits"], tuple(windows), frame, canvas, tile, int(arrays["map_overlap"]))


def _window_array(windows: Sequence[Window]) -> NDArray[np.int32]:
    return np.array([(w.col, w.row, w.width, w.height) for w in windows], np.int32).reshape(-1, 4)


def _windows(array: NDArray[np.int32]) -> list[Window]:
    return [Window(*map(int, row)) for row in array]
