"""``sam-clip``: SAM proposes masks on a grid of points, CLIP decides what each of them is.

Source: Sosa et al. 2026, contrastive branch (``selector=vote``); Text2Seg, branch 3 (``selector=crop``).

What happens to a tile, in this order::

    observe   SAM grid proposals; CLIP's dense features (vote) or the features of every masked crop (crop)
    answer    vote: words x dense features -> class map; every mask takes its majority class
              crop: words x crop features -> every mask takes its best class
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from rs_textseg_plugin.contract.errors import Cancelled
from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.contract.recipe import ParameterValue
from rs_textseg_plugin.engine.class_map import ClassMap
from rs_textseg_plugin.engine.dense import DenseFeatures, DenseSettings, answer_dense, observe_dense
from rs_textseg_plugin.engine.device import Budget
from rs_textseg_plugin.engine.legend import Legend
from rs_textseg_plugin.engine.models.clip import ClipModel
from rs_textseg_plugin.engine.models.sam import SamModel
from rs_textseg_plugin.engine.proposals import Proposal, ProposalSettings, propose
from rs_textseg_plugin.engine.raster import TileImage
from rs_textseg_plugin.engine.segments import NO_CLASS, Answer, Segment

_LONE_CLASS_THRESHOLD, _THRESHOLD = 0.6, 0.1  # SegEarth-OV's released thresholds, see contract.recipe
_VOTE_SCALE, _CROP_SCALE = 50.0, 100.0  # SegEarth-OV's and CLIP's
# Windows of 224 px and crops of the same size cost about as much; SAM's decoder batch is the parameter.
_CLIP_BATCH = 32
_CLIP_MEAN_COLOUR = (123, 117, 104)  # 255 times CLIP's mean, rounded


@dataclass(frozen=True)
class Observation:
    """What SAM and CLIP saw of a tile before any text.

    Attributes:
        proposals: SAM's masks.
        dense: CLIP's dense features (selector=vote).
        crops: ``(N, D)`` float16, features of each proposal's crop (selector=crop).
        valid: ``(H, W)`` bool, pixels that hold data.
    """

    proposals: tuple[Proposal, ...]
    dense: DenseFeatures | None
    crops: NDArray[np.float16] | None
    valid: NDArray[np.bool_]

    @property
    def nbytes(self) -> int:
        """Memory that keeping this costs, in bytes."""
        size = self.valid.nbytes + sum(proposal.mask.bits.nbytes + 200 for proposal in self.proposals)
        size += self.dense.patches.nbytes + self.dense.globals.nbytes if self.dense else 0
        return size + (self.crops.nbytes if self.crops is not None else 0)


class SamClip:
    """The pipeline for one query.

    Args:
        sam: proposes.
        clip: selects.
        parameters: all of the recipe's, checked.
        legend: the competing classes.
    """

    def __init__(
        self, sam: SamModel, clip: ClipModel, parameters: Mapping[str, ParameterValue], legend: Legend
    ) -> None:
        p: Mapping[str, Any] = parameters
        self._sam, self._clip, self._legend = sam, clip, legend
        self._selector: str = p["selector"]
        self._proposals = ProposalSettings(
            points_per_side=p["points_per_side"],
            points_per_batch=p["points_per_batch"],
            pred_iou_thresh=p["pred_iou_thresh"],
            stability_score_thresh=p["stability_score_thresh"],
            stability_score_offset=p["stability_score_offset"],
            box_nms_thresh=p["box_nms_thresh"],
        )
        self._dense = DenseSettings(
            long_side_px=p["clip_long_side_px"],
            window_px=p["clip_window_px"],
            stride_px=p["clip_stride_px"],
            attention=p["attention"],
            cls_weight=p["cls_weight"],
            fades=p["window_blend"] == "taper",
        )
        self._crop_background: str = p["crop_background"]
        self._vote_share: float = p["vote_share"]
        self._paints_uncovered = p["uncovered"] == "clip"
        self._logit_scale = p["logit_scale"] or (_VOTE_SCALE if self._selector == "vote" else _CROP_SCALE)
        self._words = clip.embed_words(legend.words, p["templates"])
        self.prob_threshold = p["prob_threshold"]
        if self.prob_threshold is None:
            self.prob_threshold = _LONE_CLASS_THRESHOLD if legend.stands_alone else _THRESHOLD

    @staticmethod
    def observation_key(parameters: Mapping[str, ParameterValue]) -> tuple[ParameterValue, ...]:
        """Return the parameters that an observation depends on; it can be kept while they stay the same."""
        text_only = {
            "logit_scale", "templates", "prob_threshold", "vote_share", "uncovered", "competitor",
            "objects", "min_area_m2", "fill_holes_m2", "simplify_m", "points_per_batch",
        }  # fmt: skip
        return tuple(value for name, value in sorted(parameters.items()) if name not in text_only)

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the models."""
        self._sam.to(device, dtype)
        self._clip.to(device, dtype)

    def observe(self, image: TileImage, budget: Budget, should_stop: Callable[[], bool]) -> Observation:
        """Run SAM and CLIP's image side over a tile.

        Raises:
            Cancelled: `should_stop` said so.
        """
        batch = budget.batch(self._proposals.points_per_batch)
        settings = self._proposals.with_batch(batch)
        embedding = self._sam.embed(image.rgb)
        proposals = propose(self._sam, embedding, settings, image.valid, should_stop)
        dense, crops = None, None
        if self._selector == "vote":
            dense = observe_dense(self._clip, image.rgb, self._dense, budget.batch(_CLIP_BATCH), should_stop)
        else:
            crops = self._embed_crops(image.rgb, proposals, budget.batch(_CLIP_BATCH), should_stop)
        return Observation(tuple(proposals), dense, crops, image.valid)

    def answer(self, observation: Observation) -> Answer:
        """Say what each proposal is, and where asked for, each pixel under none."""
        if observation.dense is None:
            return Answer(tuple(self._judged_crops(observation)), None)
        class_map = answer_dense(observation.dense, self._words, self._logit_scale)
        segments = tuple(self._voted(observation, class_map))
        return Answer(segments, class_map if self._paints_uncovered else None)

    def _voted(self, observation: Observation, class_map: ClassMap) -> list[Segment]:
        """Give every mask the majority class of its pixels (Sosa et al. 2026, contrastive branch, step 4)."""
        height, width = observation.valid.shape
        probabilities = class_map.probabilities(self._legend, Window(0, 0, width, height))
        labels = probabilities.argmax(axis=0)
        labels[probabilities.max(axis=0) < self.prob_threshold] = NO_CLASS
        segments = []
        for proposal in observation.proposals:
            rows, columns = proposal.window.slices
            inside = proposal.mask.unpack() & observation.valid[rows, columns]
            if inside.any():
                label = self._majority(labels[rows, columns][inside])
                scores = probabilities[:, rows, columns][:, inside].mean(axis=1)
                segments.append(Segment(proposal.window, proposal.mask, label, scores))
        return segments

    def _majority(self, labels: NDArray[np.int64]) -> int:
        counts = np.bincount(labels - NO_CLASS, minlength=self._legend.size + 1)
        winner = int(counts.argmax())
        return winner + NO_CLASS if counts[winner] >= self._vote_share * len(labels) else NO_CLASS

    def _judged_crops(self, observation: Observation) -> list[Segment]:
        """Give every mask the most probable class of its crop; softmax over the words, not over the masks.

        Text2Seg's released code takes the softmax over the masks, so that a class which is absent still gets its
        best mask.
        """
        if observation.crops is None or not observation.proposals:
            return []
        logits = self._logit_scale * (self._words @ observation.crops.astype(np.float32).T)
        probabilities = self._legend.class_probabilities(logits)
        labels = probabilities.argmax(axis=0)
        labels[probabilities.max(axis=0) < self.prob_threshold] = NO_CLASS
        return [
            Segment(proposal.window, proposal.mask, int(label), scores)
            for proposal, label, scores in zip(observation.proposals, labels, probabilities.T)
        ]

    def _embed_crops(
        self, rgb: NDArray[np.uint8], proposals: list[Proposal], batch: int, should_stop: Callable[[], bool]
    ) -> NDArray[np.float16]:
        size = self._clip.picture_px
        features = [np.empty((0, self._words.shape[1]), np.float32)]
        for start in range(0, len(proposals), batch):
            if should_stop():
                raise Cancelled("The run was cancelled.")
            chosen = proposals[start : start + batch]
            features.append(self._clip.embed_pictures(np.stack([self._crop(rgb, one, size) for one in chosen])))
        return np.concatenate(features).astype(np.float16)

    def _crop(self, rgb: NDArray[np.uint8], proposal: Proposal, size_px: int) -> NDArray[np.uint8]:
        """Return one masked crop, ``(size, size, 3)`` uint8: padded to a square, so that nothing is cut off.

        CLIP's own preprocessing would cut the ends off a long object (a road, a ship); the padding is our choice.
        """
        crop = rgb[proposal.window.slices].copy()
        fill = _CLIP_MEAN_COLOUR if self._crop_background == "mean" else (0, 0, 0)
        if self._crop_background != "image":
            crop[~proposal.mask.unpack()] = fill
        side = max(crop.shape[:2])
        square = np.full((side, side, 3), fill, np.uint8)
        top, left = (side - crop.shape[0]) // 2, (side - crop.shape[1]) // 2
        square[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
        return np.asarray(Image.fromarray(square).resize((size_px, size_px), Image.Resampling.BICUBIC))
