"""``text2seg``: boxes, points and crops, joined.

Source: Text2Seg, all three branches.

What happens to a tile, in this order::

    observe   SAM's features, once for all branches; what each branch sees beside them
    answer    every branch answers for itself, see `grounding_sam`, `surgery_sam` and `sam_clip` (selector=crop)
              union: every mask of every branch, as published
              vote: at each pixel a branch gives the class of its best mask there the score of that mask; the weighted
                    mean over the branches is the class's probability. What no branch is sure of, or one branch alone
                    says with little confidence, stays without a class
              every polygon says which branches found it

When all tiles are joined, a class that is clear nowhere in the extent is left out, see `presence`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import numpy as np
import torch

from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.contract.pipelines.text2seg import read_branches
from rs_textseg_plugin.contract.recipe import ParameterValue, Values, find_pipeline
from rs_textseg_plugin.engine.answers.answer import Answer, RemarkMap, Segment
from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.answers.mask_votes import Scores, best_scores, mean_votes, vote_map
from rs_textseg_plugin.engine.compute.run_control import RunControl
from rs_textseg_plugin.engine.models.clip import ClipModel
from rs_textseg_plugin.engine.models.detector import DetectorModel
from rs_textseg_plugin.engine.models.sam import SamEmbedding, SamModel
from rs_textseg_plugin.engine.pipelines import grounding_sam, sam_clip, surgery_sam
from rs_textseg_plugin.engine.pipelines.inputs import PipelineInputs
from rs_textseg_plugin.engine.pipelines.settings import make_settings
from rs_textseg_plugin.engine.raster.reader import TileImage

SettingsT = TypeVar("SettingsT")


class Branch(Protocol):
    """A method that can start from what SAM has seen already."""

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the models."""

    def observe_embedded(self, image: TileImage, embedding: SamEmbedding, control: RunControl) -> Any:
        """Learn of a tile what can be learnt before the text is known."""

    def answer(self, observation: Any, control: RunControl) -> Answer:
        """Answer the query for that tile."""


@dataclass(frozen=True)
class Observation:
    """What each branch saw of a tile before any text.

    Attributes:
        by_branch: the observation of each branch, by its name.
        size: ``(height, width)`` of the tile in pixels.
    """

    by_branch: Mapping[str, Any]
    size: tuple[int, int]

    @property
    def nbytes(self) -> int:
        """Memory that keeping this costs, in bytes."""
        return sum(int(seen.nbytes) for seen in self.by_branch.values())


@dataclass(frozen=True)
class Settings:
    """Parameters of the table `contract.pipelines.text2seg`, by their names; the branches read the others."""

    combine: str
    least_vote: float
    boxes_weight: float
    points_weight: float
    crops_weight: float

    @property
    def weights(self) -> dict[str, float]:
        """How much each branch counts in the vote, by its name."""
        return {"boxes": self.boxes_weight, "points": self.points_weight, "crops": self.crops_weight}


class Text2Seg:
    """The pipeline for one query.

    Args:
        sam: sees each tile once for all branches.
        branches: the methods that are joined, by the names of `contract.pipelines.text2seg.BRANCHES`.
        settings: of the method.
        legend: the competing classes.
    """

    duplicate_iou = 1.0  # the published union keeps every mask; the vote is a map

    def __init__(self, sam: SamModel, branches: Mapping[str, Branch], settings: Settings, legend: Legend) -> None:
        self._sam, self._branches, self._legend = sam, branches, legend
        self._votes, self._weights = settings.combine == "vote", settings.weights
        self.prob_threshold = settings.least_vote

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the models."""
        for branch in self._branches.values():
            branch.to(device, dtype)

    def observe(self, image: TileImage, control: RunControl) -> Observation:
        """Run SAM's image encoder over a tile, and then what each branch looks with.

        Raises:
            Cancelled: the user has given up.
        """
        embedding = self._sam.embed(image.rgb)
        by_branch = {
            name: branch.observe_embedded(image, embedding, control) for name, branch in self._branches.items()
        }
        height, width = image.valid.shape
        return Observation(by_branch, (height, width))

    def answer(self, observation: Observation, control: RunControl) -> Answer:
        """Let every branch answer, and join what they say.

        Raises:
            Cancelled: the user has given up.
        """
        answers = {
            name: branch.answer(observation.by_branch[name], control).segments
            for name, branch in self._branches.items()
        }
        if not self._votes:
            return union_of(answers)
        return vote_of(answers, self._legend, observation.size, self._weights)


def union_of(by_branch: Mapping[str, Sequence[Segment]]) -> Answer:
    """Return every segment of every branch, each with its branch's name as the remark."""
    return Answer(tuple(replace(segment, remark=name) for name, found in by_branch.items() for segment in found), None)


def vote_of(
    by_branch: Mapping[str, Sequence[Segment]], legend: Legend, size: tuple[int, int], weights: Mapping[str, float]
) -> Answer:
    """Return the branches' mean as a class map, with the branches that found a pixel's class as the remark.

    Args:
        by_branch: the segments of each branch, by its name.
        legend: the competing classes.
        size: ``(height, width)`` of the tile.
        weights: how much each branch counts, by its name.
    """
    scores = {name: best_scores(found, size) for name, found in by_branch.items()}
    means = mean_votes(tuple(scores.values()), size, [weights[name] for name in scores])
    labels = tuple(segment.label for found in by_branch.values() for segment in found)
    return Answer((), vote_map(means, legend, size), labels, branches_of(scores, means, size))


def branches_of(scores: Mapping[str, Scores], means: Scores, size: tuple[int, int]) -> RemarkMap:
    """Return which branches have a mask of the class that wins at a pixel, in words like ``boxes+points``.

    Args:
        scores: of each branch, by its name.
        means: over the branches; of equals the class that comes first in the legend wins.
        size: ``(height, width)`` of the tile.
    """
    highest, found_by = np.zeros(size, np.float32), np.zeros(size, np.uint8)
    for label in sorted(means):
        wins = means[label] > highest
        highest[wins] = means[label][wins]
        found_by[wins] = 0
        for bit, best in enumerate(scores.values()):
            if label in best:
                found_by[wins & (best[label] > 0)] += 1 << bit
    texts = (
        "+".join(name for bit, name in enumerate(scores) if number >> bit & 1) for number in range(1 << len(scores))
    )
    return RemarkMap(found_by, tuple(texts))


def load(inputs: PipelineInputs) -> Text2Seg:
    """Load the method for one query, with the detector where the set has one.

    Raises:
        ModelError: no branch is left.
    """
    sam, legend = inputs.sam(), inputs.legend
    branches = make_branches(sam, inputs.clip(), inputs.detector(), inputs.values, legend)
    return Text2Seg(sam, branches, inputs.settings(Settings), legend)


def make_branches(
    sam: SamModel, clip: ClipModel, detector: DetectorModel | None, values: Values, legend: Legend
) -> dict[str, Branch]:
    """Return the branches that the parameters name, by their names.

    Args:
        sam: proposes and draws.
        clip: looks and reads.
        detector: finds boxes; None: the branch ``boxes`` is left out.
        values: of all parameters of the method, checked.
        legend: the competing classes.

    Raises:
        ModelError: no branch is left.
    """
    branches: dict[str, Branch] = {}
    for name in read_branches(str(values["branches"])):
        if name == "boxes" and detector:
            boxes = _branch_settings("grounding-sam", grounding_sam.Settings, values, objects="instances")
            branches[name] = grounding_sam.GroundingSam(sam, detector, boxes, legend, legend.has_vocabulary)
        elif name == "points":
            threshold = _or(values["points_nms_thresh"], values["box_nms_thresh"])
            own = {"objects": "instances", "box_nms_thresh": threshold}
            points = _branch_settings("surgery-sam", surgery_sam.Settings, values, **own)
            branches[name] = surgery_sam.SurgerySam(sam, clip, points, legend)
        elif name == "crops":
            own = {"selector": "crop", "templates": _or(values["crop_templates"], values["templates"])}
            crops = _branch_settings("sam-clip", sam_clip.Settings, values, **own)
            branches[name] = sam_clip.SamClip(sam, clip, crops, legend)
    if not branches:
        raise ModelError(
            "The parameter branches=boxes needs a detector, and the model set has none: add a Grounding DINO "
            "folder to the set, or take the branches points and crops."
        )
    return branches


def _or(own: ParameterValue, shared: ParameterValue) -> ParameterValue:
    """Return a branch's own value, or the one that it shares with the others."""
    return shared if own is None else own


def _branch_settings(pipeline: str, kind: type[SettingsT], values: Values, **fixed: ParameterValue) -> SettingsT:
    """Return a branch's settings: what the tables share as it is here, its other parameters at their defaults."""
    info = find_pipeline(pipeline)
    return make_settings(info, kind, info.read_parameters({**info.own(values), **fixed}))
