"""One tile's core, painted from everything that the tiles around it say."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from rs_textseg_plugin.contract.grid import Tile, TileGrid, Window
from rs_textseg_plugin.engine.answers.answer import NO_CLASS, Segment
from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.answers.taper import taper
from rs_textseg_plugin.engine.mosaic.cells import Cell, cells_of
from rs_textseg_plugin.engine.mosaic.objects import Objects
from rs_textseg_plugin.engine.mosaic.remarks import RemarkTable
from rs_textseg_plugin.engine.mosaic.store import TileStore

# Two shapes of one object differ by a few pixels; beyond this distance from an outline it does not matter whose
# outline it is, and shorter distances are cheaper.
_BLEND_REACH_PX = 32


@dataclass(frozen=True)
class Painted:
    """A part of the scene, decided.

    Attributes:
        window: where it lies on the working grid.
        labels: ``(h, w)`` uint8, label-raster values.
        objects: ``(h, w)`` int64, number of the object that covers a pixel; 0: none.
        probabilities: ``(K, h, w)`` float32, class probabilities.
        valid: ``(h, w)`` bool, pixels that hold data.
        remarks: ``(h, w)`` int32, number of what is said of a pixel, see `RemarkTable`; None: nothing is, anywhere.
    """

    window: Window
    labels: NDArray[np.uint8]
    objects: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    valid: NDArray[np.bool_]
    remarks: NDArray[np.int32] | None


@dataclass(frozen=True)
class _Member:
    """A mask that belongs to an object, and the tile that saw it."""

    tile: Tile
    segment: Segment

    @property
    def window(self) -> Window:
        return self.segment.window.moved(self.tile.window.col, self.tile.window.row)

    def cut(self, window: Window) -> NDArray[np.bool_]:
        """Return the mask ``(h, w)`` bool on a window of the scene; False where the mask does not reach."""
        canvas = np.zeros((window.height, window.width), bool)
        common = self.window.intersection(window)
        if not common.is_empty:
            mask = self.segment.mask.unpack()
            canvas[common.relative_to(window).slices] = mask[common.relative_to(self.window).slices]
        return canvas


class Painter:
    """Paints cores: the class map first, then the objects, large ones before small ones."""

    def __init__(
        self,
        legend: Legend,
        grid: TileGrid,
        store: TileStore,
        objects: Objects,
        prob_threshold: float,
        remarks: RemarkTable,
    ) -> None:
        self._legend = legend
        self._grid = grid
        self._store = store
        self._objects = objects
        self._prob_threshold = prob_threshold
        self._texts = remarks

    def paint(self, tile: Tile) -> Painted:
        """Return the decided core of a tile."""
        core = tile.core
        valid = self._store.get(tile.index).valid.unpack()[core.relative_to(tile.window).slices]
        painted = Painted(
            core,
            np.zeros((core.height, core.width), np.uint8),
            np.zeros((core.height, core.width), np.int64),
            np.zeros((self._legend.size, core.height, core.width), np.float32),
            valid,
            None if self._texts.is_empty else np.zeros((core.height, core.width), np.int32),
        )
        for cell in cells_of(tile, self._grid, self._store):
            rows, columns = cell.window.relative_to(core).slices
            probabilities = self._blended_map(cell)
            objects = self._painted_objects(cell)
            labels = self._labels(probabilities, objects)
            covered = objects > 0
            probabilities[:, covered] = self._objects.scores[objects[covered]].T
            painted.labels[rows, columns] = labels
            painted.objects[rows, columns] = objects
            painted.probabilities[:, rows, columns] = probabilities
            if painted.remarks is not None:
                painted.remarks[rows, columns] = np.where(
                    covered, self._objects.remarks[objects], self._remarks_of(cell)
                )
        return painted

    def _blended_map(self, cell: Cell) -> NDArray[np.float32]:
        """Return class probabilities ``(K, h, w)``: the tiles' maps, faded into each other; zeros without a map."""
        total = np.zeros((self._legend.size, cell.window.height, cell.window.width), np.float32)
        weights = np.zeros(total.shape[1:], np.float32)
        for index in cell.sources:
            stored = self._store.get(index)
            if stored.answer.class_map is None:
                continue
            part = cell.window.relative_to(stored.tile.window)
            weight = taper(cell.window, stored.tile.window, self._grid.overlap_px)
            total += weight * stored.answer.class_map.probabilities(self._legend, part)
            weights += weight
        return total / np.maximum(weights, 1e-12)

    def _remarks_of(self, cell: Cell) -> NDArray[np.int32]:
        """Return the number of the remark on each pixel of a cell: of its own tile, else of one that sees it too."""
        chosen = np.zeros((cell.window.height, cell.window.width), np.int32)
        for index in cell.sources:
            stored = self._store.get(index)
            remarks = stored.answer.remarks
            if remarks is not None:
                part = cell.window.relative_to(stored.tile.window)
                numbers = self._texts.numbers_of(remarks.texts)[remarks.numbers[part.slices]]
                chosen = np.where(chosen > 0, chosen, numbers)
        return chosen

    def _labels(self, probabilities: NDArray[np.float32], objects: NDArray[np.int64]) -> NDArray[np.uint8]:
        best = probabilities.argmax(axis=0)
        best[probabilities.max(axis=0) < max(self._prob_threshold, 1e-12)] = NO_CLASS
        return self._legend.label_of(np.where(objects > 0, self._objects.labels[objects], best))

    def _painted_objects(self, cell: Cell) -> NDArray[np.int64]:
        """Return the number of the topmost object at every pixel of a cell."""
        canvas = np.zeros((cell.window.height, cell.window.width), np.int64)
        members = self._members(cell)
        for number in sorted(members, key=lambda number: self._objects.rank[number]):
            canvas[self._shape(members[number], cell.window)] = number
        return canvas

    def _members(self, cell: Cell) -> dict[int, list[_Member]]:
        """Return the masks of every object that has a class and reaches into the cell."""
        found: dict[int, list[_Member]] = defaultdict(list)
        for index in cell.sources:
            stored = self._store.get(index)
            for segment, number in zip(stored.answer.segments, self._objects.of_mask[index]):
                member = _Member(stored.tile, segment)
                if self._objects.labels[number] != NO_CLASS and not member.window.intersection(cell.window).is_empty:
                    found[int(number)].append(member)
        return found

    def _shape(self, members: list[_Member], window: Window) -> NDArray[np.bool_]:
        cuts = [member.cut(window) for member in members]
        if all(np.array_equal(cuts[0], other) for other in cuts[1:]):
            return cuts[0]
        return self._faded_shape(members, window)

    def _faded_shape(self, members: list[_Member], window: Window) -> NDArray[np.bool_]:
        """Let one outline turn into the other across the overlap: tapered mean of signed distances.

        Taking one tile's outline up to some line and the other's behind it would leave a step along that line.
        """
        total = np.zeros((window.height, window.width), np.float32)
        for member in members:
            total += taper(window, member.tile.window, self._grid.overlap_px) * _signed_distance(member, window)
        return total > 0


def _signed_distance(member: _Member, window: Window) -> NDArray[np.float32]:
    """Return distances in pixels to a mask's outline, positive inside, limited to `_BLEND_REACH_PX`."""
    margin = _BLEND_REACH_PX
    wider = Window(window.col - margin, window.row - margin, window.width + 2 * margin, window.height + 2 * margin)
    # Not beyond the tile: what the tile did not see is no outline.
    seen = wider.intersection(member.tile.window)
    mask = member.cut(seen)
    distance = _distance_to_false(mask) - _distance_to_false(~mask)
    part: NDArray[np.float32] = distance[window.relative_to(seen).slices]
    return part


def _distance_to_false(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    if mask.all():  # there is no outline in reach
        return np.full(mask.shape, _BLEND_REACH_PX, np.float32)
    return np.minimum(distance_transform_edt(mask), _BLEND_REACH_PX).astype(np.float32)
