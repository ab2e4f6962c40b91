"""``grounding-sam``: Grounding DINO puts a box around each thing that the words name, and SAM draws what is in it.

Source: Text2Seg, branch 1; Grounding DINO.

What happens to a tile, in this order::

    observe   SAM's features
    answer    all words in one or several captions -> Grounding DINO -> boxes with a score for every class
              a box is what its best class says; of two alike the better one stays
              boxes -> SAM -> one mask each; where masks of several classes overlap, the best score counts
              (objects=regions)

Objects that a tile's border cuts are joined with what the neighbouring tile found by the mosaic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from rs_textseg_plugin.contract.errors import Cancelled
from rs_textseg_plugin.contract.pipelines.grounding_sam import INFO
from rs_textseg_plugin.contract.recipe import ParameterValue
from rs_textseg_plugin.engine.answers.answer import Answer, Segment
from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.answers.mask_votes import best_score_answer
from rs_textseg_plugin.engine.compute.device import Budget
from rs_textseg_plugin.engine.models.grounding_dino import Caption, Detections
from rs_textseg_plugin.engine.models.sam import SamEmbedding, SamModel
from rs_textseg_plugin.engine.models.torchvision_ops import greedy_nms
from rs_textseg_plugin.engine.raster.reader import TileImage
from rs_textseg_plugin.engine.sam.prompts import Drawing, draw_boxes, draw_middles


class Detector(Protocol):
    """What puts boxes around words."""

    def captions(self, words: tuple[str, ...]) -> list[Caption]:
        """Lay words out in captions."""

    def detect(self, rgb: NDArray[np.uint8], caption: Caption, box_threshold: float) -> Detections:
        """Find boxes for a caption on a tile ``(H, W, 3)``."""

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move to another device and precision."""


@dataclass(frozen=True)
class Observation:
    """What is kept of a tile before any text.

    Attributes:
        rgb: ``(H, W, 3)`` uint8; the detector looks at picture and words together.
        embedding: ``(1, C, g, g)`` float16, SAM's features.
        valid: ``(H, W)`` bool, pixels that hold data.
    """

    rgb: NDArray[np.uint8]
    embedding: NDArray[np.float16]
    valid: NDArray[np.bool_]

    @property
    def nbytes(self) -> int:
        """Memory that keeping this costs, in bytes."""
        return self.rgb.nbytes + self.embedding.nbytes + self.valid.nbytes


@dataclass(frozen=True)
class Boxes:
    """Boxes on a tile.

    Attributes:
        corners_px: ``(N, 4)`` float64, left, top, right, bottom inside the tile.
        scores: ``(N, K)`` float32, 0..1, how well each class fits.
    """

    corners_px: NDArray[np.float64]
    scores: NDArray[np.float32]

    @property
    def labels(self) -> NDArray[np.int64]:
        """``(N,)`` index of the class that fits best."""
        return self.scores.argmax(axis=1)

    def chosen(self, which: NDArray[Any]) -> Boxes:
        """Return some of them, by index or by bool."""
        return Boxes(self.corners_px[which], self.scores[which])


class GroundingSam:
    """The pipeline for one query.

    Args:
        sam: draws.
        detector: finds.
        parameters: all of the recipe's, checked.
        legend: the classes; words that only compete are not looked for, since a detector has no need of them.
    """

    def __init__(
        self, sam: SamModel, detector: Detector, parameters: Mapping[str, ParameterValue], legend: Legend
    ) -> None:
        p: Mapping[str, Any] = parameters
        self._sam, self._detector, self._legend, self._parameters = sam, detector, legend, p
        self._is_rough = p["box_prompt"] == "middle"
        self._wants_instances = INFO.makes_instances(parameters)
        # Where tiles overlap and one of two has no mask, a map has half of the other's score; masks need no threshold.
        self.prob_threshold: float = 0.0 if self._wants_instances else p["box_threshold"] / 2
        self.duplicate_iou: float = p["box_duplicates"]
        self._word_class = legend.word_class[legend.word_class < legend.named]
        self._captions = detector.captions(legend.words[: len(self._word_class)])

    @staticmethod
    def observation_key(parameters: Mapping[str, ParameterValue]) -> tuple[ParameterValue, ...]:
        """Return the parameters that an observation depends on; it can be kept while they stay the same."""
        return ("grounding-sam", parameters["tile_px"], parameters["overlap_px"])

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the models."""
        self._sam.to(device, dtype)
        self._detector.to(device, dtype)

    def observe(self, image: TileImage, budget: Budget, should_stop: Callable[[], bool]) -> Observation:
        """Run SAM's image encoder over a tile."""
        return self.observe_embedded(image, self._sam.embed(image.rgb), budget, should_stop)

    def observe_embedded(
        self, image: TileImage, embedding: SamEmbedding, budget: Budget, should_stop: Callable[[], bool]
    ) -> Observation:
        """Do what `observe` does for a tile that SAM has seen already."""
        return Observation(image.rgb, embedding.image_embeddings.to(torch.float16).cpu().numpy(), image.valid)

    def answer(self, observation: Observation, budget: Budget, should_stop: Callable[[], bool]) -> Answer:
        """Find boxes for the words and draw what is in them, as masks or, for regions, as a map.

        Raises:
            Cancelled: `should_stop` said so, before a caption or a batch of boxes.
        """
        found = self._found(observation, should_stop)
        boxes = found.chosen(self._best_of(found))
        height, width = observation.valid.shape
        embedding = self._sam.embedding_of(observation.embedding, (height, width))
        batch = budget.batch(self._parameters["prompts_per_batch"])
        drawing = Drawing(self._parameters["multimask"], batch, should_stop)
        draw = draw_middles if self._is_rough else draw_boxes
        drawn = draw(boxes.corners_px, self._sam, embedding, drawing)
        segments = tuple(
            Segment(one.window, one.mask, int(label), scores)
            for one, label, scores in zip(drawn, boxes.labels, boxes.scores)
            if one is not None and (one.mask.unpack() & observation.valid[one.window.slices]).any()
        )
        if self._is_rough:
            segments = self._once_each(segments)
        if self._wants_instances:
            return Answer(segments, None)
        return best_score_answer(segments, self._legend, (height, width))

    def _once_each(self, segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
        """Return masks without those of an object that several rough boxes found."""
        windows = (one.window for one in segments)
        corners = np.array([(w.col, w.row, w.col_stop, w.row_stop) for w in windows], np.float64).reshape(-1, 4)
        scores = np.array([one.scores for one in segments], np.float32).reshape(-1, self._legend.size)
        return tuple(segments[number] for number in self._best_of(Boxes(corners, scores)))

    def _found(self, observation: Observation, should_stop: Callable[[], bool]) -> Boxes:
        """Return the boxes of all captions that a word names and that reach into the tile."""
        parts = []
        for caption in self._captions:
            if should_stop():
                raise Cancelled("The run was cancelled.")
            found = self._detector.detect(observation.rgb, caption, self._parameters["box_threshold"])
            parts.append(Boxes(_clipped(found.boxes_px, observation.valid.shape), self._by_class(found, caption)))
        boxes = Boxes(np.concatenate([one.corners_px for one in parts]), np.concatenate([one.scores for one in parts]))
        named = boxes.scores.max(axis=1, initial=0) > self._parameters["text_threshold"]
        sides = boxes.corners_px[:, 2:] - boxes.corners_px[:, :2]
        return boxes.chosen(named & (sides > 0).all(axis=1))

    def _by_class(self, found: Detections, caption: Caption) -> NDArray[np.float32]:
        """Return how well each class fits each box, ``(N, K)``: as well as the best of its words."""
        scores = np.zeros((len(found.boxes_px), self._legend.size), np.float32)
        for column, word in enumerate(caption.words):
            label = self._word_class[word]
            scores[:, label] = np.maximum(scores[:, label], found.word_scores[:, column])
        return scores

    def _best_of(self, boxes: Boxes) -> NDArray[np.int64]:
        """Return the numbers of boxes, best first, without those that overlap a better one of their class too much."""
        best, kept = boxes.scores.max(axis=1, initial=0), []
        for label in np.unique(boxes.labels):
            own = np.flatnonzero(boxes.labels == label)
            corners, scores = torch.from_numpy(boxes.corners_px[own]), torch.from_numpy(best[own])
            kept.extend(own[greedy_nms(corners, scores, self._parameters["box_duplicates"]).numpy()].tolist())
        return np.array(sorted(kept, key=lambda number: -best[number]), np.int64)


def _clipped(boxes_px: NDArray[np.float64], size: tuple[int, ...]) -> NDArray[np.float64]:
    height, width = size
    clipped: NDArray[np.float64] = np.clip(boxes_px, 0, [width, height, width, height])
    return clipped
