"""A pipeline whose answers are known: it reads them off a truth raster instead of asking models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import find_objects
from skimage.measure import label as label_components

from rs_textseg_plugin.contract.grid import Tile, TileGrid, Window
from rs_textseg_plugin.contract.query import parse_class_list
from rs_textseg_plugin.engine.answers.answer import Answer, PackedMask, Segment
from rs_textseg_plugin.engine.answers.class_map import ClassMap
from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.mosaic.components import Components
from rs_textseg_plugin.engine.mosaic.mosaic import NO_DATA, LabelledScene, Mosaic
from rs_textseg_plugin.engine.mosaic.scratch_raster import ScratchRaster

SURE = 8.0  # a logit that gives its class a probability of nearly 1


@dataclass(frozen=True)
class Truth:
    """``classes``: (H, W) class index per pixel, -1 for none; ``objects``: (H, W) object number, 0 for none."""

    classes: np.ndarray
    objects: np.ndarray


def legend(text: str = "building, road, water") -> Legend:
    return Legend.of(parse_class_list(text), "background", closed_list=True)


def class_map_of(classes: np.ndarray, size: int, word_class: np.ndarray | None = None) -> ClassMap:
    """A map that is sure; each class has one word, unless `word_class` says which class each word is of."""
    height, width = classes.shape
    words = range(size) if word_class is None else word_class
    logits = np.zeros((1, len(words), height, width), np.float16)
    for word, k in enumerate(words):
        logits[0, word][classes == k] = SURE
    whole = Window(0, 0, width, height)
    return ClassMap(logits, (whole,), whole, (height, width), (height, width))


def segments_of(truth: Truth, size: int) -> tuple[Segment, ...]:
    segments = []
    for number, place in enumerate(find_objects(truth.objects), start=1):
        if place is None:
            continue
        mask = truth.objects[place] == number
        label = int(np.bincount(truth.classes[place][mask] + 1).argmax()) - 1
        scores = np.full(size, 0.1 / max(size - 1, 1), np.float32)
        scores[label] = 0.9
        window = Window(place[1].start, place[0].start, mask.shape[1], mask.shape[0])
        segments.append(Segment(window, PackedMask.of(mask), label, scores))
    return tuple(segments)


def answer_for(tile: Tile, truth: Truth, names: Legend, with_map: bool = True) -> Answer:
    part = Truth(truth.classes[tile.window.slices], truth.objects[tile.window.slices])
    class_map = class_map_of(part.classes, names.size, names.word_class) if with_map else None
    return Answer(segments_of(part, names.size), class_map)


def labelled(
    truth: Truth,
    folder,
    tile_px: int,
    overlap_px: int,
    instances: bool = False,
    extent: Window | None = None,
    **options,
) -> LabelledScene:
    """Run the truth through tiles and mosaic."""
    names = legend()
    height, width = truth.classes.shape
    grid = TileGrid(width, height, tile_px, overlap_px)
    extent = extent or Window(0, 0, width, height)
    folder.mkdir(parents=True, exist_ok=True)

    def included(window: Window) -> np.ndarray:
        inside = np.zeros((window.height, window.width), bool)
        common = window.intersection(extent)
        inside[common.relative_to(window).slices] = True
        return inside

    sure, duplicate_iou = options.get("prob_threshold", 0.5), options.get("duplicate_iou", 1.0)
    mosaic = Mosaic(names, grid, extent, included, sure, instances, folder, duplicate_iou)
    for tile in grid.tiles(extent):
        answer = options["answer"](tile) if "answer" in options else answer_for(tile, truth, names)
        mosaic.add(tile, answer, np.ones((tile.window.height, tile.window.width), bool))
    return next(step for step in mosaic.finish() if step is not None)


def scene_of(
    labels: np.ndarray,
    scores: np.ndarray,
    folder,
    missing: np.ndarray | None = None,
    pixel_scores: np.ndarray | None = None,
) -> LabelledScene:
    """A scene whose i-th component, row by row, has the i-th row of `scores` (N, K) as its probabilities.

    `pixel_scores` is its score raster; without it, 0.5 where there is a component.
    """
    numbers = label_components(labels, background=0, connectivity=1)
    places = find_objects(numbers)
    assert len(places) == len(scores)
    first = np.array([(0, 0), *((x.start, y.start) for y, x in places)], np.int64)
    stop = np.array([(0, 0), *((x.stop, y.stop) for y, x in places)], np.int64)
    values = np.array([0, *(labels[numbers == i][0] for i in range(1, len(places) + 1))], np.uint8)
    means = np.concatenate([np.zeros((1, scores.shape[1])), scores]).astype(np.float32)
    table = Components(np.arange(len(values)), values, np.bincount(numbers.ravel()), means, first, stop)
    extent = Window(0, 0, labels.shape[1], labels.shape[0])
    files = [ScratchRaster(folder / f"{kind}.tif", extent, kind) for kind in ("uint32", "float32")]
    written = numbers if missing is None else np.where(missing, NO_DATA, numbers)
    files[0].write(extent, written.astype(np.uint32))
    by_pixel = np.where(numbers > 0, 0.5, 0) if pixel_scores is None else pixel_scores
    files[1].write(extent, by_pixel.astype(np.float32))
    for file in files:
        file.finish()
    return LabelledScene(extent, *files, table)


def three_squares(values: tuple[int, int, int]) -> np.ndarray:
    """Squares of 20 pixels side by side with a gap of 10; the middle one crosses a block border of 64."""
    labels = np.zeros((40, 100), np.uint8)
    for k, value in enumerate(values):
        labels[10:30, 10 + 30 * k : 30 + 30 * k] = value
    return labels


def labels_of(scene: LabelledScene) -> np.ndarray:
    numbers = scene.numbers.read(scene.extent)
    return scene.components.labels[scene.components.final[numbers]]


def components_of(scene: LabelledScene) -> np.ndarray:
    return scene.components.final[scene.numbers.read(scene.extent)]


@dataclass(frozen=True)
class Seen:
    """An observation of the planted pipeline: where it looked."""

    window: Window
    nbytes: int = 64


class PlantedPipeline:
    """Answers with the truth of each tile; `on_tile` may raise or wait."""

    prob_threshold = 0.5
    duplicate_iou = 1.0

    def __init__(self, truth: Truth, names: Legend, on_tile=lambda window: None) -> None:
        self._truth, self._names, self._on_tile = truth, names, on_tile
        self.moved_to: list[str] = []

    def to(self, device, dtype) -> None:
        self.moved_to.append(device.type)

    def observe(self, image, control) -> Seen:
        self._on_tile(image.window)
        return Seen(image.window)

    def answer(self, observation: Seen, control) -> Answer:
        part = Truth(self._truth.classes[observation.window.slices], self._truth.objects[observation.window.slices])
        names = self._names
        return Answer(segments_of(part, names.size), class_map_of(part.classes, names.size, names.word_class))


def planted_engine(truth: Truth, on_tile=lambda window: None):
    """An engine whose ``sam-clip`` answers with the truth."""
    from rs_textseg_plugin.engine.service import Engine

    return Engine({"sam-clip": lambda inputs: PlantedPipeline(truth, inputs.legend, on_tile)})
