"""Masks of tiles become objects of the scene."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from rs_textseg_plugin.contract.grid import Tile
from rs_textseg_plugin.engine.answers.answer import NO_CLASS
from rs_textseg_plugin.engine.mosaic.duplicates import are_alike, find_duplicates
from rs_textseg_plugin.engine.mosaic.matching import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    find_overlaps,
    match_masks,
    touched_borders,
)
from rs_textseg_plugin.engine.mosaic.remarks import RemarkTable
from rs_textseg_plugin.engine.mosaic.store import StoredTile, TileStore

_ACROSS = {LEFT: (0, -1), RIGHT: (0, 1), TOP: (-1, 0), BOTTOM: (1, 0)}
_EARLIER = ((0, -1), (-1, -1), (-1, 0), (-1, 1))  # neighbours that come before a tile in row-by-row order


@dataclass(frozen=True)
class Objects:
    """Objects of the scene; number 0 stands for "not painted".

    Attributes:
        of_mask: number of the object that each mask of each tile belongs to.
        labels: ``(M + 1,)`` class index, `NO_CLASS` where the object abstains.
        scores: ``(M + 1, K)`` float32, mean class probabilities.
        rank: ``(M + 1,)`` painting order, larger objects first.
        remarks: ``(M + 1,)`` int32, number of what is said of the object, see `RemarkTable`.
    """

    of_mask: dict[tuple[int, int], NDArray[np.int64]]
    labels: NDArray[np.int64]
    scores: NDArray[np.float32]
    rank: NDArray[np.int64]
    remarks: NDArray[np.int32]


class MaskTable:
    """Collects the masks of all tiles and which of them agree; a few numbers per mask stay in memory.

    Args:
        classes: their number.
        remarks: numbers what is said of masks.
        duplicate_iou: without a class map, of two masks of a class that two tiles drew differently the worse one is
            dropped if the intersection over union of their boxes is larger; 1: none is.
    """

    def __init__(self, classes: int, remarks: RemarkTable, duplicate_iou: float) -> None:
        self._classes = classes
        self._texts = remarks
        self._duplicate_iou = duplicate_iou
        self._first: dict[tuple[int, int], int] = {}
        self._counts: dict[tuple[int, int], int] = {}
        self._labels: list[int] = []
        self._scores: list[NDArray[np.float32]] = []
        self._areas: list[int] = []
        self._touched: list[int] = []
        self._remarks: list[NDArray[np.int32]] = []
        self._pairs: list[tuple[int, int, int, int]] = []
        self._duplicates: list[tuple[int, int]] = []
        self._covering: dict[int, list[int]] = defaultdict(list)  # masks over most of a mask that they do not match
        self._has_map = False

    def add(self, stored: StoredTile, store: TileStore) -> None:
        """Take the masks of a tile, and match them with those of the neighbours that came before it."""
        index = stored.tile.index
        self._has_map |= stored.answer.class_map is not None
        self._first[index], self._counts[index] = len(self._labels), len(stored.answer.segments)
        for segment in stored.answer.segments:
            self._labels.append(segment.label)
            self._scores.append(segment.scores)
            self._areas.append(segment.mask.area_px)
            self._touched.append(touched_borders(segment, stored.tile.window))
        self._remarks.append(self._texts.numbers_of(segment.remark for segment in stored.answer.segments))
        for rows, cols in _EARLIER:
            neighbour = (index[0] + rows, index[1] + cols)
            if neighbour in store:
                self._match(stored, store.get(neighbour))

    def _match(self, stored: StoredTile, other: StoredTile) -> None:
        theirs, ours = (other.tile, other.answer.segments), (stored.tile, stored.answer.segments)
        pairs = match_masks(*theirs, *ours)
        first, second = self._first[other.tile.index], self._first[stored.tile.index]
        towards, back = _direction(other.tile, stored.tile), _direction(stored.tile, other.tile)
        self._pairs.extend((first + a, second + b, towards, back) for a, b in pairs)
        if not self._has_map:
            for a, b, is_covered, covers in find_overlaps(*theirs, *ours):
                if (a, b) not in pairs:
                    self._covering[first + a] += [second + b] * is_covered
                    self._covering[second + b] += [first + a] * covers
                    alike = are_alike(other.tile, theirs[1][a], stored.tile, ours[1][b], self._duplicate_iou)
                    if alike and (is_covered or covers):
                        self._duplicates.append((first + a, second + b))

    def resolve(self) -> Objects:
        """Join what agrees; drop what a tile border cut and no neighbour confirms.

        A dropped mask would end in a straight line along the tile's border. Its pixels fall back to the class
        map, which has no such line. Where there is no map, half an object is better than none: what no other mask
        lies over stays. And what two tiles drew differently counts once.
        """
        pairs = np.array(self._pairs, np.int64).reshape(-1, 4)
        needed = np.array(self._touched, np.int64) & self._inner_borders()
        repeated = self._repeated(needed) if not self._has_map else []
        alive = self._confirmed(pairs, needed, repeated)
        if not self._has_map:
            self._revive(alive, repeated)
        linked = pairs[alive[pairs[:, 0]] & alive[pairs[:, 1]]]
        numbers = self._number(alive, linked)
        labels, scores, areas = self._summed(numbers)
        of_mask = {index: numbers[first : first + self._counts[index]] for index, first in self._first.items()}
        rank = np.empty(len(areas), np.int64)
        rank[np.lexsort((np.arange(len(areas)), -areas))] = np.arange(len(areas))
        return Objects(of_mask, labels, scores, rank, self._latest_remarks(numbers, len(areas)))

    def _repeated(self, needed: NDArray[np.int64]) -> list[int]:
        """Return masks that repeat a better one; what a border cuts is never better than what none does."""

        def rank(number: int) -> tuple[bool, float, int]:
            return bool(needed[number]), -float(self._scores[number][self._labels[number]]), number

        return find_duplicates(self._duplicates, rank)

    def _confirmed(self, pairs: NDArray[np.int64], needed: NDArray[np.int64], repeated: list[int]) -> NDArray[np.bool_]:
        """Return which masks are no repetition, and seen on by the neighbours behind all borders in `needed`."""
        alive = np.ones(len(needed), bool)
        alive[repeated] = False
        while True:
            confirmed = np.zeros(len(needed), np.int64)
            linked = pairs[alive[pairs[:, 0]] & alive[pairs[:, 1]]]
            np.bitwise_or.at(confirmed, linked[:, 0], linked[:, 2])
            np.bitwise_or.at(confirmed, linked[:, 1], linked[:, 3])
            cut = alive & ((needed & ~confirmed) != 0)
            if not cut.any():
                return alive
            # Dropping one fragment can leave its partner unconfirmed: look again.
            alive[cut] = False

    def _revive(self, alive: NDArray[np.bool_], repeated: list[int]) -> None:
        """Keep cut masks that are no repetition, the largest first, that no mask which is kept lies over."""
        dropped = np.setdiff1d(np.flatnonzero(~alive), repeated)
        for number in dropped[np.argsort(-np.array(self._areas, np.int64)[dropped], kind="stable")].tolist():
            alive[number] = not any(alive[other] for other in self._covering[number])

    def _inner_borders(self) -> NDArray[np.int64]:
        """Per mask: the borders of its tile that another tile of this run lies behind."""
        inner = np.zeros(len(self._labels), np.int64)
        for (row, col), first in self._first.items():
            borders = sum(bit for bit, (rows, cols) in _ACROSS.items() if (row + rows, col + cols) in self._first)
            inner[first : first + self._counts[row, col]] = borders
        return inner

    def _number(self, alive: NDArray[np.bool_], linked: NDArray[np.int64]) -> NDArray[np.int64]:
        count = len(alive)
        graph = coo_array((np.ones(len(linked), bool), (linked[:, 0], linked[:, 1])), shape=(count, count))
        _, group = connected_components(graph, directed=False)
        numbers = np.zeros(count, np.int64)
        if alive.any():
            numbers[alive] = np.unique(group[alive], return_inverse=True)[1] + 1
        return numbers

    def _summed(self, numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float64]]:
        """Return label (by area), mean scores (weighted by area) and area of every object."""
        count = int(numbers.max(initial=0)) + 1
        mask_areas = np.array(self._areas, np.float64)
        areas = np.bincount(numbers, weights=mask_areas, minlength=count).astype(np.float64)
        votes = np.zeros((count, self._classes + 1))
        np.add.at(votes, (numbers, np.array(self._labels, np.int64)), mask_areas)  # NO_CLASS (-1) is the last column
        labels = votes.argmax(axis=1).astype(np.int64)
        labels[labels == self._classes] = NO_CLASS
        labels[0] = NO_CLASS
        weighted = np.zeros((count, self._classes))
        np.add.at(weighted, numbers, np.array(self._scores).reshape(-1, self._classes) * mask_areas[:, None])
        return labels, (weighted / np.maximum(areas, 1)[:, None]).astype(np.float32), areas

    def _latest_remarks(self, numbers: NDArray[np.int64], count: int) -> NDArray[np.int32]:
        """Return the remark of every object: of those of its masks the one with the largest area."""
        if self._texts.is_empty:
            return np.zeros(count, np.int32)
        masks = np.stack([numbers, np.concatenate(self._remarks)], axis=1)
        pairs, which = np.unique(masks, axis=0, return_inverse=True)
        areas = np.bincount(which.ravel(), weights=np.array(self._areas, np.float64), minlength=len(pairs))
        rising = np.lexsort((areas, pairs[:, 1] > 0))  # what comes last is what stays; an empty remark never wins
        latest = np.zeros(count, np.int32)
        latest[pairs[rising, 0]] = pairs[rising, 1]
        latest[0] = 0
        return latest


def _direction(origin: Tile, towards: Tile) -> int:
    """Return the border of `origin` that `towards` lies behind; 0 for a diagonal neighbour."""
    step = (towards.row_index - origin.row_index, towards.col_index - origin.col_index)
    return next((bit for bit, across in _ACROSS.items() if across == step), 0)
