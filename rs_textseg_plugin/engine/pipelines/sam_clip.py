"""``sam-clip``: SAM proposes masks on a grid of points, CLIP decides what each of them is.

Source: Sosa et al. 2026, contrastive branch (``selector=vote``); Text2Seg, branch 3 (``selector=crop``).

What happens to a tile, in this order::

    observe   SAM grid proposals; CLIP's dense features (vote) or the features of every masked crop (crop)
    answer    vote: words x dense features -> class map; with region_prompts SAM is asked for its regions too;
                    majority: every mask takes the class of most of its pixels; of one class alone every mask is kept
                    that is foreground enough, and nothing else
                    soft: every mask draws its pixels towards its mean probabilities
              crop: words x crop features -> every mask takes its best class (crop_softmax=words), or every word its
                    best masks (masks)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.engine.answers.answer import NO_CLASS, Answer, Segment
from rs_textseg_plugin.engine.answers.class_map import ClassMap
from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.answers.soft_vote import SoftVote, Vote
from rs_textseg_plugin.engine.clip.dense import (
    DenseFeatures,
    DenseSettings,
    answer_dense,
    least_probability,
    observe_dense,
)
from rs_textseg_plugin.engine.clip.object_picture import object_picture
from rs_textseg_plugin.engine.clip.words import embed_legend
from rs_textseg_plugin.engine.compute.run_control import RunControl
from rs_textseg_plugin.engine.models.clip import ClipModel
from rs_textseg_plugin.engine.models.sam import SamEmbedding, SamModel
from rs_textseg_plugin.engine.pipelines.inputs import PipelineInputs
from rs_textseg_plugin.engine.raster.reader import TileImage
from rs_textseg_plugin.engine.sam.proposals import Proposal, ProposalSettings, propose, propose_at, without_duplicates
from rs_textseg_plugin.engine.sam.region_points import region_points

_VOTE_SCALE, _CROP_SCALE = 50.0, 100.0  # SegEarth-OV's and CLIP's
# Windows of 224 px and crops of the same size cost about as much; SAM's decoder batch is the parameter.
_CLIP_BATCH = 32


@dataclass(frozen=True)
class Observation:
    """What SAM and CLIP saw of a tile before any text.

    Attributes:
        proposals: SAM's masks.
        dense: CLIP's dense features (selector=vote).
        crops: ``(N, D)`` float16, features of each proposal's crop (selector=crop).
        valid: ``(H, W)`` bool, pixels that hold data.
        embedding: ``(1, C, g, g)`` float16, SAM's features, where it will be asked again (region_prompts).
    """

    proposals: tuple[Proposal, ...]
    dense: DenseFeatures | None
    crops: NDArray[np.float16] | None
    valid: NDArray[np.bool_]
    embedding: NDArray[np.float16] | None = None

    @property
    def nbytes(self) -> int:
        """Memory that keeping this costs, in bytes."""
        size = self.valid.nbytes + sum(proposal.mask.bits.nbytes + 200 for proposal in self.proposals)
        size += self.dense.nbytes if self.dense else 0
        return size + sum(array.nbytes for array in (self.crops, self.embedding) if array is not None)


@dataclass(frozen=True)
class Settings:
    """Parameters of the table `contract.pipelines.sam_clip`, by their names."""

    selector: str
    proposals: ProposalSettings
    dense: DenseSettings
    crop_background: str
    crop_shape: str
    crop_softmax: str
    crop_threshold: float
    vote: str
    vote_weight: float
    vote_share: float
    foreground_threshold: float
    foreground_share: float
    uncovered: str
    region_prompts: bool
    region_min_px: int
    region_max_points: int
    logit_scale: float | None
    templates: str
    prob_threshold: float | None
    makes_instances: bool


class SamClip:
    """The pipeline for one query.

    Args:
        sam: proposes.
        clip: selects.
        settings: of the method.
        legend: the competing classes.
    """

    def __init__(self, sam: SamModel, clip: ClipModel, settings: Settings, legend: Legend) -> None:
        self._sam, self._clip, self._settings, self._legend = sam, clip, settings, legend
        is_vote = settings.selector == "vote"
        self._asks_regions = settings.region_prompts and is_vote
        self._logit_scale = settings.logit_scale or (_VOTE_SCALE if is_vote else _CROP_SCALE)
        self._words = embed_legend(clip, legend, settings.templates)
        self.prob_threshold = least_probability(settings.prob_threshold, legend.stands_alone)
        self._paints_uncovered = settings.uncovered == "clip"
        self.duplicate_iou = 1.0  # masks lie in masks, and each is an object of its own

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the models."""
        self._sam.to(device, dtype)
        self._clip.to(device, dtype)

    def observe(self, image: TileImage, control: RunControl) -> Observation:
        """Run SAM and CLIP's image side over a tile.

        Raises:
            Cancelled: the user has given up.
        """
        return self.observe_embedded(image, self._sam.embed(image.rgb), control)

    def observe_embedded(self, image: TileImage, embedding: SamEmbedding, control: RunControl) -> Observation:
        """Do what `observe` does for a tile that SAM has seen already."""
        proposals = propose(self._sam, embedding, self._proposals_within(control), image.valid, control)
        dense, crops = None, None
        if self._settings.selector == "vote":
            dense = observe_dense(self._clip, image.rgb, self._settings.dense, control.batch(_CLIP_BATCH), control)
        else:
            crops = self._embed_crops(image.rgb, proposals, control.batch(_CLIP_BATCH), control)
        kept = embedding.image_embeddings.to(torch.float16).cpu().numpy() if self._asks_regions else None
        return Observation(tuple(proposals), dense, crops, image.valid, kept)

    def answer(self, observation: Observation, control: RunControl) -> Answer:
        """Say what each proposal is, and where asked for, each pixel under none.

        Raises:
            Cancelled: the user gave up while SAM was asked for regions.
        """
        if observation.dense is None:
            by_word = self._settings.crop_softmax == "masks"
            return Answer((self._retrieved_crops if by_word else self._judged_crops)(observation), None)
        class_map = answer_dense(observation.dense, self._words, self._logit_scale)
        valid = observation.valid
        probabilities = class_map.probabilities(self._legend, _whole(valid))
        proposals = self._with_regions(observation, probabilities, control)
        proposals = [proposal for proposal in proposals if _inside(proposal, valid).any()]
        if self._settings.vote == "soft":
            return self._softly_voted(proposals, valid, class_map, probabilities)
        if self._legend.stands_alone:
            return Answer(tuple(self._foreground(proposals, valid, probabilities)), None)
        segments = tuple(self._voted(proposals, valid, probabilities))
        return Answer(segments, class_map if self._paints_uncovered else None)

    def _proposals_within(self, control: RunControl) -> ProposalSettings:
        return self._settings.proposals.with_batch(control.batch(self._settings.proposals.points_per_batch))

    def _best(self, probabilities: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the best class of probabilities ``(K, ...)``, `NO_CLASS` where it is too improbable."""
        labels: NDArray[np.int64] = probabilities.argmax(axis=0)
        labels[probabilities.max(axis=0) < self.prob_threshold] = NO_CLASS
        return labels

    def _with_regions(
        self,
        observation: Observation,
        probabilities: NDArray[np.float32],
        control: RunControl,
    ) -> Sequence[Proposal]:
        """Add what SAM finds in the middle of each region of the dense map; of two alike the best rated stays."""
        if observation.embedding is None:
            return observation.proposals
        height, width = observation.valid.shape
        embedding = self._sam.embedding_of(observation.embedding, (height, width))
        points_px = region_points(
            self._best(probabilities), observation.valid, self._settings.region_min_px, self._settings.region_max_points
        )
        found = propose_at(points_px, self._sam, embedding, self._proposals_within(control), control)
        return without_duplicates([*observation.proposals, *found], self._settings.proposals.box_nms_thresh)

    def _softly_voted(
        self,
        proposals: Sequence[Proposal],
        valid: NDArray[np.bool_],
        class_map: ClassMap,
        probabilities: NDArray[np.float32],
    ) -> Answer:
        """Let every mask draw its pixels towards its mean probabilities; see `SoftVote`."""
        means = _means(probabilities, proposals, valid)
        votes = tuple(
            Vote(proposal.window, proposal.mask, mean, _quality(proposal)) for proposal, mean in zip(proposals, means)
        )
        drawn = SoftVote(class_map, votes, self._settings.vote_weight, self._paints_uncovered)
        if not self._settings.makes_instances:
            return Answer((), drawn, tuple(map(int, self._best(means.T))))
        scores = _means(drawn.probabilities(self._legend, _whole(valid)), proposals, valid)
        return Answer(self._labelled(proposals, scores), drawn)

    def _labelled(self, proposals: Sequence[Proposal], scores: NDArray[np.float32]) -> tuple[Segment, ...]:
        """Give every mask the best class of its scores ``(N, K)``."""
        return tuple(
            Segment(proposal.window, proposal.mask, int(label), own)
            for proposal, label, own in zip(proposals, self._best(scores.T), scores)
        )

    def _voted(
        self, proposals: Sequence[Proposal], valid: NDArray[np.bool_], probabilities: NDArray[np.float32]
    ) -> Iterator[Segment]:
        """Give every mask the majority class of its pixels (Sosa et al. 2026, contrastive branch, step 4)."""
        labels = self._best(probabilities)
        for proposal, scores in zip(proposals, _means(probabilities, proposals, valid)):
            label = self._majority(labels[proposal.window.slices][_inside(proposal, valid)])
            yield Segment(proposal.window, proposal.mask, label, scores)

    def _foreground(
        self, proposals: Sequence[Proposal], valid: NDArray[np.bool_], probabilities: NDArray[np.float32]
    ) -> Iterator[Segment]:
        """Keep the masks of which enough is foreground (Sosa et al. 2026, contrastive branch, step 4, one class)."""
        foreground = probabilities[0] >= self._settings.foreground_threshold
        for proposal, scores in zip(proposals, _means(probabilities, proposals, valid)):
            share = foreground[proposal.window.slices][_inside(proposal, valid)].mean()
            label = 0 if share >= self._settings.foreground_share else NO_CLASS
            yield Segment(proposal.window, proposal.mask, label, scores)

    def _majority(self, labels: NDArray[np.int64]) -> int:
        counts = np.bincount(labels - NO_CLASS, minlength=self._legend.size + 1)
        winner = int(counts.argmax())
        return winner + NO_CLASS if counts[winner] >= self._settings.vote_share * len(labels) else NO_CLASS

    def _judged_crops(self, observation: Observation) -> tuple[Segment, ...]:
        """Give every mask the most probable class of its crop; softmax over the words."""
        if observation.crops is None or not observation.proposals:
            return ()
        logits = self._logit_scale * (self._words @ observation.crops.astype(np.float32).T)
        return self._labelled(observation.proposals, self._legend.class_probabilities(logits).T)

    def _retrieved_crops(self, observation: Observation) -> tuple[Segment, ...]:
        """Give every word the masks whose crops have a large share of its softmax over all masks of the tile.

        Source: Text2Seg, branch 3, released code. A class has the masks of any of its words, so a mask may be there
        for several classes: for the one with the largest share last, where it is painted over the others. A class that
        is absent gets its best masks too.
        """
        if observation.crops is None or not observation.proposals:
            return ()
        logits = self._logit_scale * (self._words @ observation.crops.astype(np.float32).T)
        exponent = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares = exponent / exponent.sum(axis=1, keepdims=True)
        by_class = np.stack([shares[self._legend.word_class == k].max(axis=0) for k in range(self._legend.size)])
        return tuple(
            Segment(proposal.window, proposal.mask, int(label), scores)
            for proposal, scores in zip(observation.proposals, by_class.T)
            for label in np.argsort(scores[: self._legend.positives], kind="stable")
            if scores[label] > self._settings.crop_threshold
        )

    def _embed_crops(
        self, rgb: NDArray[np.uint8], proposals: list[Proposal], batch: int, control: RunControl
    ) -> NDArray[np.float16]:
        size = self._clip.picture_px
        features = [np.empty((0, self._words.shape[1]), np.float32)]
        for start in range(0, len(proposals), batch):
            control.check()
            chosen = proposals[start : start + batch]
            features.append(
                self._clip.embed_pictures(np.stack([self._crop(rgb, proposal, size) for proposal in chosen]))
            )
        return np.concatenate(features).astype(np.float16)

    def _crop(self, rgb: NDArray[np.uint8], proposal: Proposal, size_px: int) -> NDArray[np.uint8]:
        fill = self._clip.mean_colour if self._settings.crop_background == "mean" else (0, 0, 0)
        shows_around, shape = self._settings.crop_background == "image", self._settings.crop_shape
        return object_picture(rgb[proposal.window.slices], proposal.mask.unpack(), size_px, fill, shows_around, shape)


def _whole(valid: NDArray[np.bool_]) -> Window:
    height, width = valid.shape
    return Window(0, 0, width, height)


def _inside(proposal: Proposal, valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the mask's pixels that hold data, on the mask's window."""
    return proposal.mask.unpack() & valid[proposal.window.slices]


def _means(
    probabilities: NDArray[np.float32], proposals: Sequence[Proposal], valid: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return the mean of ``(K, H, W)`` inside each mask, ``(N, K)``; every mask holds data."""
    means = np.zeros((len(proposals), len(probabilities)), np.float32)
    for row, proposal in zip(means, proposals):
        row[:] = probabilities[(slice(None), *proposal.window.slices)][:, _inside(proposal, valid)].mean(axis=1)
    return means


def _quality(proposal: Proposal) -> float:
    """Return how much a mask is to be trusted, 0..1: SAM's rating, which may leave that range, times stability."""
    return min(max(proposal.predicted_iou * proposal.stability, 0.0), 1.0)


def load(inputs: PipelineInputs) -> SamClip:
    """Load the method for one query."""
    return SamClip(inputs.sam(), inputs.clip(), inputs.settings(Settings), inputs.legend)
