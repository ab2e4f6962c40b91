"""Tiles go in, a labelled scene comes out: the component raster, the score raster and the table of components."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rs_textseg_plugin.contract.grid import Tile, TileGrid, Window
from rs_textseg_plugin.engine.answers.answer import Answer, PackedMask
from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.mosaic.components import Components, ComponentTable
from rs_textseg_plugin.engine.mosaic.objects import MaskTable
from rs_textseg_plugin.engine.mosaic.painting import Painted, Painter
from rs_textseg_plugin.engine.mosaic.remarks import RemarkTable
from rs_textseg_plugin.engine.mosaic.scratch_raster import ScratchRaster
from rs_textseg_plugin.engine.mosaic.store import StoredTile, TileStore

OnPainted = Callable[[Window, NDArray[np.float32], NDArray[np.bool_]], None]
NO_DATA = 2**32 - 1  # in the component raster: the input holds nothing there, or it was not asked for


@dataclass(frozen=True)
class LabelledScene:
    """The whole scene, decided.

    Attributes:
        extent: the part of the working grid that it holds.
        numbers: provisional component numbers, uint32; `NO_DATA` where the input holds nothing.
        scores: float32, probability (0..1) of the label at each pixel.
        components: what those numbers stand for.
    """

    extent: Window
    numbers: ScratchRaster
    scores: ScratchRaster
    components: Components

    def close(self) -> None:
        """Close the scratch files."""
        self.numbers.close()
        self.scores.close()


class Mosaic:
    """Collects the answers of tiles, then paints and numbers the scene; memory stays that of a few tiles.

    Args:
        legend: the competing classes.
        grid: the tiles.
        extent: the part of the working grid that is output.
        included: for a window, which pixels ``(h, w)`` the scene's extent and mask polygon include.
        prob_threshold: a pixel under no object keeps its class only if it is at least that probable.
        instances: whether objects of one class stay apart where they touch.
        folder: an empty folder for scratch files.
        duplicate_iou: see `MaskTable`.
        on_painted: told of every core: its window, class probabilities ``(K, h, w)``, and which pixels hold data and
            are included.
    """

    def __init__(
        self,
        legend: Legend,
        grid: TileGrid,
        extent: Window,
        included: Callable[[Window], NDArray[np.bool_]],
        prob_threshold: float,
        instances: bool,
        folder: Path,
        duplicate_iou: float,
        on_painted: OnPainted = lambda window, probabilities, usable: None,
    ) -> None:
        self._legend = legend
        self._grid = grid
        self._extent = extent
        self._included = included
        self._prob_threshold = prob_threshold
        self._instances = instances
        self._folder = folder
        self._on_painted = on_painted
        self._store = TileStore(folder)
        self._remarks = RemarkTable()
        self._masks = MaskTable(legend.size, self._remarks, duplicate_iou)
        self._tiles: list[Tile] = []

    @property
    def tile_count(self) -> int:
        """Number of tiles that were added."""
        return len(self._tiles)

    def add(self, tile: Tile, answer: Answer, valid: NDArray[np.bool_]) -> None:
        """Take a tile's answer, and which of its pixels ``(h, w)`` hold data.

        Tiles come row by row. Tiles without a valid pixel are simply not added.
        """
        stored = StoredTile(tile, answer, PackedMask.of(valid))
        self._store.put(stored)
        self._remarks.take(answer)
        self._masks.add(stored, self._store)
        self._tiles.append(tile)

    def finish(self) -> Generator[LabelledScene | None, None, None]:
        """Paint one core after the other, yielding None after each, and the labelled scene at the end.

        Left early, it closes its files; those of the labelled scene are for the caller to close.
        """
        with ExitStack() as files:
            numbers = ScratchRaster(self._folder / "numbers.tif", self._extent, "uint32")
            files.callback(numbers.close)
            scores = ScratchRaster(self._folder / "scores.tif", self._extent, "float32")
            files.callback(scores.close)
            table = yield from self._paint(numbers, scores)
            files.pop_all()
        yield LabelledScene(self._extent, numbers, scores, table.resolve(self._remarks.texts))

    def _paint(self, numbers: ScratchRaster, scores: ScratchRaster) -> Generator[None, None, ComponentTable]:
        objects = self._masks.resolve()
        painter = Painter(self._legend, self._grid, self._store, objects, self._prob_threshold, self._remarks)
        table = ComponentTable(self._legend.size, self._instances)
        for tile in self._tiles:
            painted = painter.paint(tile)
            usable = painted.valid & self._included(tile.core)
            painted.labels[~usable] = 0
            numbers.write(tile.core, np.where(usable, table.add(painted), NO_DATA).astype(np.uint32))
            scores.write(tile.core, self._label_scores(painted))
            self._on_painted(tile.core, painted.probabilities, usable)
            yield None
        numbers.finish()
        scores.finish()
        return table

    def _label_scores(self, painted: Painted) -> NDArray[np.float32]:
        """Return the probability of each pixel's label, ``(h, w)`` float32; 0 where there is none."""
        flat = painted.probabilities.reshape(self._legend.size, -1).T
        scores = label_scores(self._legend, painted.labels.ravel(), flat)
        return scores.reshape(painted.labels.shape)


def label_scores(legend: Legend, labels: NDArray[np.uint8], scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probability of each label, ``(N,)`` float32, from class probabilities ``(N, K)``.

    "Everything else" is as probable as the best class that was asked for is not. Label 0 scores 0.
    """
    rows = np.arange(len(labels))
    result = scores[rows, np.clip(labels.astype(np.int64) - 1, 0, legend.size - 1)].astype(np.float32)
    if legend.everything_else:
        rest = labels == legend.everything_else
        result[rest] = 1 - scores[rest, : legend.positives].max(axis=1)
    result[labels == 0] = 0
    return result
