"""An answer about a part of a tile as one about the whole tile, and one about a picture as those about its tiles.

Methods are shown only the part of a tile that holds data. Shown all of it, they would see a small object in a large
black picture at the edge of a raster, and another object at another offset of the tiles.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.engine.answers.answer import Answer, RemarkMap
from rs_textseg_plugin.engine.answers.class_map import ProbabilityMap
from rs_textseg_plugin.engine.answers.legend import Legend


@dataclass(frozen=True)
class PlacedMap:
    """A map of a part of a tile; around it every probability is 0.

    Attributes:
        inner: of the part, or of a picture that the tile is a part of.
        window: where that lies in the tile; a picture sticks out of it.
    """

    inner: ProbabilityMap
    window: Window

    def probabilities(self, legend: Legend, part: Window) -> NDArray[np.float32]:
        """Return ``(K, part.height, part.width)`` class probabilities for a window of the tile."""
        found = np.zeros((legend.size, part.height, part.width), np.float32)
        common = part.intersection(self.window)
        if not common.is_empty:
            inner = self.inner.probabilities(legend, common.relative_to(self.window))
            found[(slice(None), *common.relative_to(part).slices)] = inner
        return found


def window_of_data(valid: NDArray[np.bool_]) -> Window:
    """Return the smallest window around the pixels ``(H, W)`` that hold data; at least one does."""
    rows, columns = np.flatnonzero(valid.any(axis=1)), np.flatnonzero(valid.any(axis=0))
    return Window(int(columns[0]), int(rows[0]), int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1)


def place_answer(answer: Answer, window: Window, size: tuple[int, int]) -> Answer:
    """Return an answer about a part of a tile as one about the tile.

    Args:
        answer: in the pixels of the part.
        window: where the part lies in the tile.
        size: ``(height, width)`` of the tile.
    """
    if (window.height, window.width) == size:
        return answer
    segments = tuple(
        replace(segment, window=segment.window.moved(window.col, window.row)) for segment in answer.segments
    )
    class_map = None if answer.class_map is None else PlacedMap(answer.class_map, window)
    return Answer(segments, class_map, answer.merged, _placed_remarks(answer.remarks, window, size))


def cut_answer(answer: Answer, part: Window, size: tuple[int, int]) -> Answer:
    """Return an answer about a picture as one about a part of it.

    Args:
        answer: a map without segments and remarks.
        part: relative to the picture's corner.
        size: ``(height, width)`` of the picture.

    Raises:
        ValueError: there are segments or remarks, which are not cut.
    """
    if answer.segments or answer.remarks:
        raise ValueError("Only an answer that is a map can be cut.")
    found = answer.class_map
    if found is None:
        return answer
    if not isinstance(found, PlacedMap):
        found = PlacedMap(found, Window(0, 0, size[1], size[0]))
    return Answer((), PlacedMap(found.inner, found.window.moved(-part.col, -part.row)), answer.merged)


def _placed_remarks(remarks: RemarkMap | None, window: Window, size: tuple[int, int]) -> RemarkMap | None:
    """Return remarks about a part; around it stands the first text, which belongs to pixels of no class."""
    if remarks is None:
        return None
    numbers = np.zeros(size, remarks.numbers.dtype)
    numbers[window.slices] = remarks.numbers
    return RemarkMap(numbers, remarks.texts)
