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

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.engine.answers.answer import Answer, Segment
from rs_textseg_plugin.engine.answers.class_map import ClassMap
from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.answers.mask_votes import best_score_answer
from rs_textseg_plugin.engine.clip.dense import DenseFeatures, DenseSettings, least_probability, observe_dense
from rs_textseg_plugin.engine.clip.surgery import heat_grid, heat_map, heat_of
from rs_textseg_plugin.engine.clip.words import embed_legend
from rs_textseg_plugin.engine.compute.run_control import RunControl
from rs_textseg_plugin.engine.models.clip import ClipModel
from rs_textseg_plugin.engine.models.sam import SamEmbedding, SamModel
from rs_textseg_plugin.engine.pipelines.inputs import PipelineInputs
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


@dataclass(frozen=True)
class Settings:
    """Parameters of the table `contract.pipelines.surgery_sam`, by their names."""

    result: str
    clip_long_side_px: int
    clip_window_px: int
    clip_stride_px: int
    clip_resize: str
    window_blend: str
    clip_positions: str
    heat_attention: str
    redundant: str
    templates: str
    logit_scale: float
    points: str
    heat_threshold: float
    heat_down_sample: int
    region_min_px: int
    max_regions: int
    multimask: bool
    prompts_per_batch: int
    box_nms_thresh: float
    prob_threshold: float | None
    makes_instances: bool


class SurgerySam:
    """The pipeline for one query.

    Args:
        sam: draws.
        clip: looks and reads.
        settings: of the method.
        legend: the competing classes.
    """

    def __init__(self, sam: SamModel, clip: ClipModel, settings: Settings, legend: Legend) -> None:
        self._sam, self._clip, self._settings, self._legend = sam, clip, settings, legend
        self._dense = _dense_settings(settings)
        self._words = embed_legend(clip, legend, settings.templates)
        (self._empty,) = clip.embed_words([""], settings.templates)
        self.prob_threshold = least_probability(settings.prob_threshold, legend.stands_alone)
        self.duplicate_iou = settings.box_nms_thresh

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the models."""
        self._sam.to(device, dtype)
        self._clip.to(device, dtype)

    def observe(self, image: TileImage, control: RunControl) -> Observation:
        """Run both image encoders over a tile.

        Raises:
            Cancelled: the user has given up.
        """
        return self.observe_embedded(image, self._sam.embed(image.rgb), control)

    def observe_embedded(self, image: TileImage, embedding: SamEmbedding, control: RunControl) -> Observation:
        """Do what `observe` does for a tile that SAM has seen already."""
        dense = observe_dense(self._clip, image.rgb, self._dense, control.batch(_CLIP_BATCH), control)
        return Observation(dense, embedding.image_embeddings.to(torch.float16).cpu().numpy(), image.valid)

    def answer(self, observation: Observation, control: RunControl) -> Answer:
        """Draw what each word's heat points at, or return the heat itself.

        Raises:
            Cancelled: the user has given up.
        """
        heat = heat_of(observation.dense, self._words, self._empty, self._settings.redundant)
        class_map = heat_map(observation.dense, heat, self._settings.logit_scale)
        if self._settings.result == "heat":
            return Answer((), class_map)
        height, width = observation.valid.shape
        logits = class_map.logits(Window(0, 0, width, height))
        probabilities = self._legend.class_probabilities(logits)
        asked = self._point_sets(class_map, logits, probabilities, observation.valid)
        embedding = self._sam.embedding_of(observation.embedding, (height, width))
        batch = control.batch(self._settings.prompts_per_batch)
        drawing = Drawing(self._settings.multimask, batch, control)
        drawn = draw_point_sets([points for _, points in asked], self._sam, embedding, drawing)
        found = [(label, mask) for (label, _), mask in zip(asked, drawn) if mask is not None]
        segments = self._kept(found, probabilities, observation.valid)
        if self._settings.makes_instances:
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
        if self._settings.points == "published":
            return self._published_sets(class_map, valid)
        s = self._settings
        best = probabilities.argmax(axis=0)
        # "Nothing" has the logit 0: where it beats every word no class wins, whatever the threshold.
        wins = (probabilities.max(axis=0) >= self.prob_threshold) & (logits[:-1].max(axis=0) > 0)
        return [
            (label, points)
            for label in range(self._legend.positives)
            for points in region_point_sets(
                wins & (best == label), probabilities[label], valid, s.region_min_px, s.max_regions
            )
        ]

    def _published_sets(self, class_map: ClassMap, valid: NDArray[np.bool_]) -> list[tuple[int, PointSet]]:
        s = self._settings
        grid = heat_grid(class_map, self._clip.patch_px)[: len(self._legend.words)]
        asked = []
        for label in range(self._legend.positives):
            heat = grid[self._legend.word_class == label].max(axis=0)
            found = published_points(heat, class_map.tile, s.heat_threshold, s.heat_down_sample)
            points = found and _on_data(found, valid)
            if points:
                asked.append((label, points))
        return asked

    def _kept(
        self, found: list[tuple[int, Proposal]], probabilities: NDArray[np.float32], valid: NDArray[np.bool_]
    ) -> tuple[Segment, ...]:
        """Return masks whose class is probable enough in them; of two alike the one that SAM rates best stays."""
        segments = {}
        for label, proposal in found:
            inside = proposal.mask.unpack() & valid[proposal.window.slices]
            if not inside.any():
                continue
            scores = probabilities[(slice(None), *proposal.window.slices)][:, inside].mean(axis=1)
            if scores[label] >= self.prob_threshold:
                segments[id(proposal)] = (proposal, Segment(proposal.window, proposal.mask, label, scores))
        kept = without_duplicates([proposal for proposal, _ in segments.values()], self._settings.box_nms_thresh)
        return tuple(segments[id(proposal)][1] for proposal in kept)


def _dense_settings(settings: Settings) -> DenseSettings:
    """Return how CLIP looks: with the surgery's attention, and without <CLS>, which the surgery subtracts otherwise."""
    return DenseSettings(
        long_side_px=settings.clip_long_side_px,
        window_px=settings.clip_window_px,
        stride_px=settings.clip_stride_px,
        attention=settings.heat_attention,
        cls_weight=0.0,
        fades=settings.window_blend == "taper",
        resize=settings.clip_resize,
        positions=settings.clip_positions,
    )


def _on_data(points: PointSet, valid: NDArray[np.bool_]) -> PointSet | None:
    """Leave out points without data; None where no point on the object is left."""
    columns, rows = points.points_px.astype(np.int64).T
    kept = valid[rows, columns]
    if not (kept & points.is_inside).any():
        return None
    return PointSet(points.points_px[kept], points.is_inside[kept])


def load(inputs: PipelineInputs) -> SurgerySam:
    """Load the method for one query."""
    return SurgerySam(inputs.sam(), inputs.clip(), inputs.settings(Settings), inputs.legend)
