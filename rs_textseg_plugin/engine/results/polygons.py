"""From the labelled scene to features: traced block by block, joined over block borders, with attributes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from rs_textseg_plugin.contract.events import ClassSummary
from rs_textseg_plugin.contract.grid import PixelGrid, Window
from rs_textseg_plugin.contract.query import ClassSpec
from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.mosaic.components import Components
from rs_textseg_plugin.engine.mosaic.mosaic import NO_DATA, LabelledScene, label_scores
from rs_textseg_plugin.engine.raster.ground_resolution import ground_resolution_m, pixel_area_m2
from rs_textseg_plugin.engine.results.trace import fill_holes, join_pieces, repaired, to_map, trace

# Blocks are not the tiles: no border of a tile shows. Only objects that cross a block border are pieced together;
# 2048 px keep what a block needs, the tracing included, at about 200 MB.
BLOCK_PX = 2048


@dataclass(frozen=True)
class PolygonSettings:
    """What becomes of the traced regions; areas in m2 on the ground, `simplify_m` None: one working pixel."""

    min_area_m2: float
    fill_holes_m2: float
    simplify_m: float | None


@dataclass(frozen=True)
class Features:
    """Polygons with their attributes, row by row.

    Attributes:
        polygons: ``(n,)`` shapely polygons in map coordinates.
        labels: ``(n,)`` uint8, label-raster values.
        scores, runner_up_scores: ``(n,)`` float32, 0..1.
        runners_up: ``(n,)`` names of the second most probable class.
        areas_m2: ``(n,)`` float64, on the ground.
        remarks: ``(n,)`` str, what is said of them beside their class; None: nothing.
    """

    polygons: NDArray[Any]
    labels: NDArray[np.uint8]
    scores: NDArray[np.float32]
    runners_up: NDArray[Any]
    runner_up_scores: NDArray[np.float32]
    areas_m2: NDArray[np.float64]
    remarks: NDArray[np.object_] | None = None


@dataclass(frozen=True)
class Block:
    """One block of the result.

    Attributes:
        window: where it lies on the working grid.
        labels: ``(h, w)`` uint8, after small polygons were left out and holes filled.
        scores: ``(h, w)`` float32, probability of each pixel's label; NaN where there is none.
        features: the polygons that ended in this block.
        rows: ``(n,)`` int64, the component that each of them is, for `Polygonizer.keep_only`.
    """

    window: Window
    labels: NDArray[np.uint8]
    scores: NDArray[np.float32]
    features: Features
    rows: NDArray[np.int64]


class Polygonizer:
    """Turns a labelled scene into features and final rasters, one block at a time.

    Args:
        scene: the labelled scene.
        legend: the competing classes.
        grid: the working grid.
        settings: what becomes of the regions.
    """

    def __init__(self, scene: LabelledScene, legend: Legend, grid: PixelGrid, settings: PolygonSettings) -> None:
        self._scene, self._legend, self._grid = scene, legend, grid
        metres = float(np.mean(ground_resolution_m(grid)))
        self._tolerance_px = 1.0 if settings.simplify_m is None else settings.simplify_m / metres
        self._hole_px = settings.fill_holes_m2 / metres**2
        self._rows = _large_enough(scene.components, grid, settings.min_area_m2)
        self._open: dict[int, list[shapely.Geometry]] = {}

    def blocks(self) -> list[Window]:
        """Return the windows that `block` is to be called with, in this order; anchored to the working grid."""
        extent = self._scene.extent
        return [
            Window(col, row, BLOCK_PX, BLOCK_PX).intersection(extent)
            for row in range(extent.row // BLOCK_PX * BLOCK_PX, extent.row_stop, BLOCK_PX)
            for col in range(extent.col // BLOCK_PX * BLOCK_PX, extent.col_stop, BLOCK_PX)
        ]

    def block(self, window: Window) -> Block:
        """Trace one block; objects that go on in a later block wait for it."""
        rows, has_data = self._component_rows(window)
        present, found = _renumbered(rows)
        numbers = fill_holes(found, self._hole_px, has_data)
        values, polygons = trace(numbers, window, self._tolerance_px)
        ended, joined = self._complete(present[values], polygons, window)
        features = self._features(ended, joined)
        labels = self._scene.components.labels[present][numbers]
        scores = self._pixel_scores(window, present, numbers, numbers != found)
        return Block(window, labels, scores, features, ended)

    def pixels(self, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.float32], float]:
        """Return labels and scores of a block before holes are filled, ``(h, w)`` each, and a pixel's area in m2."""
        rows, _ = self._component_rows(window)
        col, row = window.col + window.width / 2, window.row + window.height / 2
        pixel_m2 = float(pixel_area_m2(self._grid, [col], [row])[0])
        return self._scene.components.labels[rows], self._scene.scores.read(window), pixel_m2

    def leave_out(self, labels: NDArray[np.integer[Any]]) -> None:
        """Leave every component of these label-raster values ``(n,)`` out of the blocks that follow.

        To be called before the first block.
        """
        is_out = np.isin(self._scene.components.labels[self._rows], labels)
        self._rows = np.where(is_out, 0, self._rows).astype(np.int32)

    def keep_only(self, rows: NDArray[np.int64]) -> None:
        """Leave every component out of the blocks that follow but those in these rows ``(n,)`` of the table.

        To be called between two passes over `blocks`.
        """
        self._rows = np.where(np.isin(self._rows, rows), self._rows, 0).astype(np.int32)

    def _pixel_scores(
        self, window: Window, present: NDArray[np.int32], numbers: NDArray[np.int32], filled: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Return the probability of each pixel's label, NaN without one; a filled pixel has its polygon's."""
        components = self._scene.components
        mean = label_scores(self._legend, components.labels[present], components.scores[present])
        scores = np.where(filled, mean[numbers], self._scene.scores.read(window))
        return np.where(numbers > 0, scores, np.nan).astype(np.float32)

    def _component_rows(self, window: Window) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Return each pixel's row in the table of components (0: nothing), and where the raster has data."""
        numbers = self._scene.numbers.read(window)
        has_data = numbers != NO_DATA
        return self._rows[np.where(has_data, numbers, 0)], has_data

    def _complete(
        self, rows: NDArray[np.int32], polygons: NDArray[Any], window: Window
    ) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Keep what ends in this block, joined with its earlier pieces; put the rest aside."""
        first, stop = self._scene.components.first[rows], self._scene.components.stop[rows]
        inside = ((first >= (window.col, window.row)) & (stop <= (window.col_stop, window.row_stop))).all(axis=1)
        for row, polygon in zip(rows[~inside], polygons[~inside]):
            self._open.setdefault(int(row), []).append(polygon)
        ended = [row for row in self._open if self._ends_in(row, window)]
        joined = [join_pieces(self._open.pop(row)) for row in ended]
        return np.concatenate([rows[inside], np.array(ended, np.int64)]), np.concatenate(
            [polygons[inside], np.array(joined, dtype=object)]
        )

    def _ends_in(self, row: int, window: Window) -> bool:
        """Whether no later block can hold a piece: blocks come row by row, from left to right."""
        stop_col, stop_row = self._scene.components.stop[row]
        return bool(stop_row <= window.row_stop and stop_col <= window.col_stop)

    def _features(self, rows: NDArray[np.int64], polygons: NDArray[Any]) -> Features:
        components, legend = self._scene.components, self._legend
        labels, scores = components.labels[rows], components.scores[rows]
        own = label_scores(legend, labels, scores)
        runner_up, runner_up_scores = _runners_up(legend, labels, scores)
        centres = shapely.get_coordinates(shapely.centroid(polygons))
        areas_m2 = shapely.area(polygons) * pixel_area_m2(self._grid, centres[:, 0], centres[:, 1])
        placed = repaired(to_map(polygons, self._grid.transform))
        remarks = None if components.remarks is None else components.remarks[rows]
        return Features(placed, labels, own, runner_up, runner_up_scores, areas_m2, remarks)


def _renumbered(rows: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the rows that occur, 0 first whether it occurs or not, and each pixel's position among them."""
    counts = np.bincount(rows.ravel())
    counts[0] = 1
    present = np.flatnonzero(counts).astype(np.int32)
    position = np.zeros(len(counts), np.int32)
    position[present] = np.arange(len(present), dtype=np.int32)
    return present, position[rows]


def _large_enough(components: Components, grid: PixelGrid, min_area_m2: float) -> NDArray[np.int32]:
    """Return the row that each provisional number stands for, 0 where the component is too small."""
    centres = (components.first + components.stop) / 2
    centres[0] = 0
    areas_m2 = components.pixels * pixel_area_m2(grid, centres[:, 0], centres[:, 1])
    kept = (areas_m2 >= min_area_m2) & (components.labels > 0)
    return np.where(kept, np.arange(len(kept)), 0)[components.final].astype(np.int32)


def _runners_up(
    legend: Legend, labels: NDArray[np.uint8], scores: NDArray[np.float32]
) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Return name and probability of the best class that did not win; negatives and competitors count."""
    others = scores.copy()
    is_class = labels != legend.everything_else
    winners = np.flatnonzero(is_class)
    others[winners, labels[winners].astype(np.int64) - 1] = -1
    second = others.argmax(axis=1) if len(others) else np.zeros(0, np.int64)
    names = np.array(legend.competing, dtype=object)[second]
    return names, others[np.arange(len(second)), second]


@dataclass
class Tally:
    """Sums per class for the table at the end of a run."""

    size: int
    count: NDArray[np.int64] = field(init=False)
    area_m2: NDArray[np.float64] = field(init=False)
    score_area: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.count = np.zeros(self.size + 1, np.int64)
        self.area_m2 = np.zeros(self.size + 1)
        self.score_area = np.zeros(self.size + 1)

    def add(self, features: Features) -> None:
        """Count a block's features."""
        self.count += np.bincount(features.labels, minlength=self.size + 1)
        self.area_m2 += np.bincount(features.labels, weights=features.areas_m2, minlength=self.size + 1)
        weighted = features.areas_m2 * features.scores
        self.score_area += np.bincount(features.labels, weights=weighted, minlength=self.size + 1)

    def summary(self, classes: tuple[ClassSpec, ...]) -> tuple[ClassSummary, ...]:
        """Return one row per class that may be output, in the order of the label values."""
        means = self.score_area / self.area_m2.clip(min=1e-12)
        return tuple(
            ClassSummary(
                spec.name,
                spec.colour,
                int(self.count[value]),
                round(float(self.area_m2[value]), 2),
                round(float(means[value]), 4),
            )
            for value, spec in enumerate(classes, start=1)
        )
