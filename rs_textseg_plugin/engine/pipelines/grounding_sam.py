"""``grounding-sam``: Grounding DINO puts a box around each thing that the words name, and SAM draws what is in it.

Source: Text2Seg, branch 1; Grounding DINO.

What happens to a tile, in this order::

    observe   SAM's features
    answer    all words in one or several captions (captions=words: one each) -> Grounding DINO -> boxes with a score
              for every class
              a box is what its best class says; of two alike the better one stays
              boxes -> SAM -> one mask each; where masks of several classes overlap, the best score counts
              (objects=regions)

Objects that a tile's border cuts are joined with what the neighbouring tile found by the mosaic.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from rs_textseg_plugin.engine.answers.answer import Answer, Segment
from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.answers.mask_votes import best_score_answer
from rs_textseg_plugin.engine.compute.run_control import RunControl
from rs_textseg_plugin.engine.models.grounding_dino import Caption, Detections
from rs_textseg_plugin.engine.models.sam import SamEmbedding, SamModel
from rs_textseg_plugin.engine.models.torchvision_ops import greedy_nms
from rs_textseg_plugin.engine.pipelines.inputs import PipelineInputs
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
        corners_px: ``(N, 4)`` float64, left, top, right, bottom; inside the tile with cut_boxes.
        scores: ``(N, K)`` float32, 0..1, how well each class fits.
    """

    corners_px: NDArray[np.float64]
    scores: NDArray[np.float32]

    @property
    def labels(self) -> NDArray[np.int64]:
        """``(N,)`` index of the class that fits best."""
        return self.scores.argmax(axis=1)

    def chosen(self, which: NDArray[Any]) -> Boxes:
        """Return some of the boxes, by indices ``(M,)`` int64 or by flags ``(N,)`` bool."""
        return Boxes(self.corners_px[which], self.scores[which])


@dataclass(frozen=True)
class Settings:
    """Parameters of the table `contract.pipelines.grounding_sam`, by their names."""

    captions: str
    box_threshold: float
    text_threshold: float
    box_duplicates: float
    cut_boxes: bool
    box_prompt: str
    multimask: bool
    prompts_per_batch: int
    makes_instances: bool


class GroundingSam:
    """The pipeline for one query.

    Args:
        sam: draws.
        detector: finds.
        settings: of the method.
        legend: the classes; generic words are not looked for, since they are nothing that has a box.
        looks_for_vocabulary: whether words of a vocabulary are looked for. A detector by itself has no need of them; in
            a vote they keep it from standing up for the asked classes alone.
    """

    def __init__(
        self, sam: SamModel, detector: Detector, settings: Settings, legend: Legend, looks_for_vocabulary: bool = False
    ) -> None:
        self._sam, self._detector, self._settings, self._legend = sam, detector, settings, legend
        self._is_rough = settings.box_prompt == "middle"
        self._asks_words = settings.captions == "words"
        # Where tiles overlap and one of two has no mask, a map has half of the other's score. Masks need no threshold,
        # nor does the union of all boxes.
        is_union = settings.makes_instances or self._asks_words
        self.prob_threshold = 0.0 if is_union else settings.box_threshold / 2
        self.duplicate_iou = settings.box_duplicates
        classes = legend.named + (legend.known if looks_for_vocabulary else 0)
        self._word_class = legend.word_class[legend.word_class < classes]
        words = legend.words[: len(self._word_class)]
        self._captions = _one_each(detector, words) if self._asks_words else detector.captions(words)

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the models."""
        self._sam.to(device, dtype)
        self._detector.to(device, dtype)

    def observe(self, image: TileImage, control: RunControl) -> Observation:
        """Run SAM's image encoder over a tile."""
        return self.observe_embedded(image, self._sam.embed(image.rgb), control)

    def observe_embedded(self, image: TileImage, embedding: SamEmbedding, control: RunControl) -> Observation:
        """Do what `observe` does for a tile that SAM has seen already."""
        return Observation(image.rgb, embedding.image_embeddings.to(torch.float16).cpu().numpy(), image.valid)

    def answer(self, observation: Observation, control: RunControl) -> Answer:
        """Find boxes for the words and draw what is in them, as masks or, for regions, as a map.

        Raises:
            Cancelled: the user gave up, before a caption or a batch of boxes.
        """
        found = self._found(observation, control)
        boxes = found.chosen(self._best_of(found))
        height, width = observation.valid.shape
        embedding = self._sam.embedding_of(observation.embedding, (height, width))
        batch = control.batch(self._settings.prompts_per_batch)
        drawing = Drawing(self._settings.multimask, batch, control)
        draw = draw_middles if self._is_rough else draw_boxes
        drawn = draw(boxes.corners_px, self._sam, embedding, drawing)
        segments = tuple(
            Segment(mask.window, mask.mask, int(label), scores)
            for mask, label, scores in zip(drawn, boxes.labels, boxes.scores)
            if mask is not None and (mask.mask.unpack() & observation.valid[mask.window.slices]).any()
        )
        if self._is_rough:
            segments = self._once_each(segments)
        if self._settings.makes_instances:
            return Answer(segments, None)
        return best_score_answer(segments, self._legend, (height, width))

    def _once_each(self, segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
        """Return masks without those of an object that several rough boxes found."""
        windows = (segment.window for segment in segments)
        corners = np.array([(w.col, w.row, w.col_stop, w.row_stop) for w in windows], np.float64).reshape(-1, 4)
        scores = np.array([segment.scores for segment in segments], np.float32).reshape(-1, self._legend.size)
        return tuple(segments[number] for number in self._best_of(Boxes(corners, scores)))

    def _found(self, observation: Observation, control: RunControl) -> Boxes:
        """Return the boxes of all captions that a word names and that have an area."""
        parts = []
        for caption in self._captions:
            control.check()
            found = self._detector.detect(observation.rgb, caption, self._settings.box_threshold)
            corners_px = found.boxes_px
            if self._settings.cut_boxes:
                corners_px = _clipped(corners_px, observation.valid.shape)
            parts.append(Boxes(corners_px, self._by_class(found, caption)))
        boxes = Boxes(
            np.concatenate([part.corners_px for part in parts]), np.concatenate([part.scores for part in parts])
        )
        named = boxes.scores.max(axis=1, initial=0) > (0 if self._asks_words else self._settings.text_threshold)
        sides = boxes.corners_px[:, 2:] - boxes.corners_px[:, :2]
        return boxes.chosen(named & (sides > 0).all(axis=1))

    def _by_class(self, found: Detections, caption: Caption) -> NDArray[np.float32]:
        """Return how well each class fits each box, ``(N, K)``: as well as the best of its words.

        A word that was asked for by itself has every box of its caption, with the score for which the box was kept.
        """
        scores = np.zeros((len(found.boxes_px), self._legend.size), np.float32)
        if self._asks_words:
            scores[:, self._word_class[caption.words[0]]] = found.scores
            return scores
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
            kept.extend(own[greedy_nms(corners, scores, self._settings.box_duplicates).numpy()].tolist())
        return np.array(sorted(kept, key=lambda number: -best[number]), np.int64)


def _one_each(detector: Detector, words: tuple[str, ...]) -> list[Caption]:
    """Return a caption for each word."""
    return [
        replace(caption, words=(number,)) for number, word in enumerate(words) for caption in detector.captions((word,))
    ]


def _clipped(boxes_px: NDArray[np.float64], size: tuple[int, ...]) -> NDArray[np.float64]:
    height, width = size
    clipped: NDArray[np.float64] = np.clip(boxes_px, 0, [width, height, width, height])
    return clipped


def load(inputs: PipelineInputs) -> GroundingSam:
    """Load the method for one query."""
    return GroundingSam(inputs.sam(), inputs.required_detector(), inputs.settings(Settings), inputs.legend)
