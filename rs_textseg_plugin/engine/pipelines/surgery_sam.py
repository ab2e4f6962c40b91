"""``surgery-sam``: CLIP's heat map of each word gives points, and SAM draws what they lie on.

Source: Text2Seg, branch 2; CLIP Surgery. The released Text2Seg loads a CLIP without the architecture surgery,
normalises features over the wrong axis and the picture twice, and lets SAM encode it twice; here none of that is so.

What happens to a tile, in this order::

    observe   SAM's features; CLIP's dense features with the architecture surgery
    answer    words x features, without what is redundant -> heat
              heat -> points on and beside each region (or the published rule) -> SAM -> masks
              every mask has the mean probabilities of its pixels; where its own class is too improbable it is dropped
              where masks of several classes overlap, the most probable one counts (objects=regions)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.contract.recipe import ParameterValue
from rs_textseg_plugin.engine.answers.answer import Answer, Segment
from rs_textseg_plugin.engine.answers.class_map import ClassMap
from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.answers.mask_votes import best_score_answer
from rs_textseg_plugin.engine.clip.dense import DenseFeatures, DenseSettings, least_probability, observe_dense
from rs_textseg_plugin.engine.clip.surgery import heat_grid, heat_map, heat_of
from rs_textseg_plugin.engine.compute.device import Budget
from rs_textseg_plugin.engine.models.clip import ClipModel
from rs_textseg_plugin.engine.models.sam import SamEmbedding, SamModel
from rs_textseg_plugin.engine.raster.reader import TileImage
from rs_textseg_plugin.engine.sam.prompts import Drawing, PointSet, draw_point_sets
from rs_textseg_plugin.engine.sam.proposals import Proposal, without_duplicates
from rs_textseg_plugin.engine.sam.surgery_points import published_points, region_point_sets

_CLIP_BATCH = 32  # windows of 224 px


@dataclass(frozen=True)
class Observation:
    """What SAM and CLIP saw of a tile before any text.

    Attributes:
        dense: CLIP's features after the architecture surgery.
        embedding: ``(1, C, g, g)`` float16, SAM's features.
        valid: ``(H, W)`` bool, pixels that hold data.
    """

    dense: DenseFeatures
    embedding: NDArray[np.float16]
    valid: NDArray[np.bool_]

    @property
    def nbytes(self) -> int:
        """Memory that keeping this costs, in bytes."""
        return self.dense.nbytes + self.embedding.nbytes + self.valid.nbytes


class SurgerySam:
    """The pipeline for one query.

    Args:
        sam: draws.
        clip: looks and reads.
        parameters: all of the recipe's, checked.
        legend: the competing classes.
    """

    def __init__(
        self, sam: SamModel, clip: ClipModel, parameters: Mapping[str, ParameterValue], legend: Legend
    ) -> None:
        p: Mapping[str, Any] = parameters
        self._sam, self._clip, self._legend, self._parameters = sam, clip, legend, p
        self._dense = DenseSettings.of({**p, "attention": p["heat_attention"], "cls_weight": 0.0})
        words = clip.embed_words((*legend.words, ""), p["templates"])
        self._words, self._empty = words[:-1], words[-1]
        self.prob_threshold = least_probability(p["prob_threshold"], legend.stands_alone)
        self.duplicate_iou: float = p["box_nms_thresh"]

    @staticmethod
    def observation_key(parameters: Mapping[str, ParameterValue]) -> tuple[ParameterValue, ...]:
        """Return the parameters that an observation depends on; it can be kept while they stay the same."""
        looking = (
            "clip_long_side_px", "clip_window_px", "clip_stride_px", "window_blend", "heat_attention", "tile_px",
            "overlap_px",
        )  # fmt: skip
        return ("surgery-sam", *(parameters[name] for name in looking))

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the models."""
        self._sam.to(device, dtype)
        self._clip.to(device, dtype)

    def observe(self, image: TileImage, budget: Budget, should_stop: Callable[[], bool]) -> Observation:
        """Run both image encoders over a tile.

        Raises:
            Cancelled: `should_stop` said so.
        """
        return self.observe_embedded(image, self._sam.embed(image.rgb), budget, should_stop)

    def observe_embedded(
        self, image: TileImage, embedding: SamEmbedding, budget: Budget, should_stop: Callable[[], bool]
    ) -> Observation:
        """Do what `observe` does for a tile that SAM has seen already."""
        dense = observe_dense(self._clip, image.rgb, self._dense, budget.batch(_CLIP_BATCH), should_stop)
        return Observation(dense, embedding.image_embeddings.to(torch.float16).cpu().numpy(), image.valid)

    def answer(self, observation: Observation, budget: Budget, should_stop: Callable[[], bool]) -> Answer:
        """Draw what each word's heat points at, or return the heat itself.

        Raises:
            Cancelled: `should_stop` said so.
        """
        heat = heat_of(observation.dense, self._words, self._empty, self._parameters["redundant"])
        class_map = heat_map(observation.dense, heat, self._parameters["logit_scale"])
        if self._parameters["result"] == "heat":
            return Answer((), class_map)
        height, width = observation.valid.shape
        logits = class_map.logits(Window(0, 0, width, height))
        probabilities = self._legend.class_probabilities(logits)
        asked = self._point_sets(class_map, logits, probabilities, observation.valid)
        embedding = self._sam.embedding_of(observation.embedding, (height, width))
        batch = budget.batch(self._parameters["prompts_per_batch"])
        drawing = Drawing(self._parameters["multimask"], batch, should_stop)
        drawn = draw_point_sets([points for _, points in asked], self._sam, embedding, drawing)
        found = [(label, one) for (label, _), one in zip(asked, drawn) if one is not None]
        segments = self._kept(found, probabilities, observation.valid)
        if self._parameters["objects"] == "instances":
            return Answer(segments, None)
        return best_score_answer(segments, self._legend, (height, width))

    def _point_sets(
        self,
        class_map: ClassMap,
        logits: NDArray[np.float32],
        probabilities: NDArray[np.float32],
        valid: NDArray[np.bool_],
    ) -> list[tuple[int, PointSet]]:
        """Return sets of points with the class that each is for; only positives are drawn."""
        if self._parameters["points"] == "published":
            return self._published_sets(class_map, valid)
        p = self._parameters
        best = probabilities.argmax(axis=0)
        # "Nothing" has the logit 0: where it beats every word no class wins, whatever the threshold.
        wins = (probabilities.max(axis=0) >= self.prob_threshold) & (logits[:-1].max(axis=0) > 0)
        return [
            (label, points)
            for label in range(self._legend.positives)
            for points in region_point_sets(
                wins & (best == label), probabilities[label], valid, p["region_min_px"], p["max_regions"]
            )
        ]

    def _published_sets(self, class_map: ClassMap, valid: NDArray[np.bool_]) -> list[tuple[int, PointSet]]:
        p, patch_px = self._parameters, self._clip.patch_px
        grid = heat_grid(class_map, patch_px)[: len(self._legend.words)]
        asked = []
        for label in range(self._legend.positives):
            heat = grid[self._legend.word_class == label].max(axis=0)
            found = published_points(heat, class_map.tile, p["heat_threshold"], p["heat_down_sample"])
            points = found and _on_data(found, valid)
            if points:
                asked.append((label, points))
        return asked

    def _kept(
        self, found: list[tuple[int, Proposal]], probabilities: NDArray[np.float32], valid: NDArray[np.bool_]
    ) -> tuple[Segment, ...]:
        """Return masks whose class is probable enough in them; of two alike the one that SAM rates best stays."""
        segments = {}
        for label, one in found:
            inside = one.mask.unpack() & valid[one.window.slices]
            if not inside.any():
                continue
            scores = probabilities[(slice(None), *one.window.slices)][:, inside].mean(axis=1)
            if scores[label] >= self.prob_threshold:
                segments[id(one)] = (one, Segment(one.window, one.mask, label, scores))
        kept = without_duplicates([one for one, _ in segments.values()], self._parameters["box_nms_thresh"])
        return tuple(segments[id(one)][1] for one in kept)


def _on_data(points: PointSet, valid: NDArray[np.bool_]) -> PointSet | None:
    """Leave out points without data; None where no point on the object is left."""
    columns, rows = points.points_px.astype(np.int64).T
    kept = valid[rows, columns]
    if not (kept & points.is_inside).any():
        return None
    return PointSet(points.points_px[kept], points.is_inside[kept])
