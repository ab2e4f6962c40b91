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

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.contract.pipelines.grounding_sam import INFO as GROUNDING_SAM
from rs_textseg_plugin.contract.pipelines.sam_clip import INFO as SAM_CLIP
from rs_textseg_plugin.contract.pipelines.surgery_sam import INFO as SURGERY_SAM
from rs_textseg_plugin.contract.pipelines.text2seg import BRANCHES, read_branches
from rs_textseg_plugin.contract.recipe import ParameterValue
from rs_textseg_plugin.engine.answers.answer import Answer, RemarkMap, Segment
from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.answers.mask_votes import Scores, best_scores, mean_votes, vote_map
from rs_textseg_plugin.engine.compute.device import Budget
from rs_textseg_plugin.engine.models.clip import ClipModel
from rs_textseg_plugin.engine.models.sam import SamModel
from rs_textseg_plugin.engine.pipelines.grounding_sam import Detector, GroundingSam
from rs_textseg_plugin.engine.pipelines.sam_clip import SamClip
from rs_textseg_plugin.engine.pipelines.surgery_sam import SurgerySam
from rs_textseg_plugin.engine.raster.reader import TileImage


@dataclass(frozen=True)
class Observation:
    """What each branch saw of a tile before any text.

    Attributes:
        seen: by branch.
        size: ``(height, width)`` of the tile in pixels.
    """

    seen: Mapping[str, Any]
    size: tuple[int, int]

    @property
    def nbytes(self) -> int:
        """Memory that keeping this costs, in bytes."""
        return sum(int(one.nbytes) for one in self.seen.values())


class Text2Seg:
    """The pipeline for one query.

    Args:
        sam: proposes and draws.
        clip: looks and reads.
        detector: finds boxes; None: the branch ``boxes`` is left out.
        parameters: all of the recipe's, checked.
        legend: the competing classes.

    Raises:
        ModelError: no branch is left.
    """

    def __init__(
        self,
        sam: SamModel,
        clip: ClipModel,
        detector: Detector | None,
        parameters: Mapping[str, ParameterValue],
        legend: Legend,
    ) -> None:
        p: Mapping[str, Any] = parameters
        self._sam, self._legend = sam, legend
        self._own = _parameters_of_branches(parameters)
        self._branches: dict[str, Any] = {}
        for branch in read_branches(p["branches"]):
            if branch == "boxes" and detector:
                self._branches[branch] = GroundingSam(sam, detector, self._own[branch], legend)
            elif branch == "points":
                self._branches[branch] = SurgerySam(sam, clip, self._own[branch], legend)
            elif branch == "crops":
                self._branches[branch] = SamClip(sam, clip, self._own[branch], legend)
        if not self._branches:
            raise ModelError(
                "The parameter branches=boxes needs a detector, and the model set has none: add a Grounding DINO "
                "folder to the set, or take the branches points and crops."
            )
        self._votes = p["combine"] == "vote"
        self.prob_threshold: float = p["least_vote"]
        self.duplicate_iou = 1.0  # the published union keeps every mask; the vote is a map
        self._weights = {branch: float(p[f"{branch}_weight"]) for branch in BRANCHES}

    def observation_key(self, parameters: Mapping[str, ParameterValue]) -> Hashable:
        """Return what an observation depends on; it can be kept while that stays the same."""
        own = _parameters_of_branches(parameters)
        return tuple((name, branch.observation_key(own[name])) for name, branch in self._branches.items())

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the models."""
        for branch in self._branches.values():
            branch.to(device, dtype)

    def observe(self, image: TileImage, budget: Budget, should_stop: Callable[[], bool]) -> Observation:
        """Run SAM's image encoder over a tile, and then what each branch looks with.

        Raises:
            Cancelled: `should_stop` said so.
        """
        embedding = self._sam.embed(image.rgb)
        seen = {
            name: branch.observe_embedded(image, embedding, budget, should_stop)
            for name, branch in self._branches.items()
        }
        height, width = image.valid.shape
        return Observation(seen, (height, width))

    def answer(self, observation: Observation, budget: Budget, should_stop: Callable[[], bool]) -> Answer:
        """Let every branch answer, and join what they say.

        Raises:
            Cancelled: `should_stop` said so.
        """
        said = {
            name: branch.answer(observation.seen[name], budget, should_stop).segments
            for name, branch in self._branches.items()
        }
        if not self._votes:
            return union_of(said)
        return vote_of(said, self._legend, observation.size, self._weights)


def _parameters_of_branches(parameters: Mapping[str, ParameterValue]) -> dict[str, dict[str, ParameterValue]]:
    return {
        "boxes": GROUNDING_SAM.read_parameters({**GROUNDING_SAM.own(parameters), "objects": "instances"}),
        "points": SURGERY_SAM.read_parameters({**SURGERY_SAM.own(parameters), "objects": "instances"}),
        "crops": SAM_CLIP.read_parameters({**SAM_CLIP.own(parameters), "selector": "crop"}),
    }


def union_of(said: Mapping[str, Sequence[Segment]]) -> Answer:
    """Return every segment of every branch, each with its branch's name as the remark."""
    return Answer(tuple(replace(one, remark=name) for name, found in said.items() for one in found), None)


def vote_of(
    said: Mapping[str, Sequence[Segment]], legend: Legend, size: tuple[int, int], weights: Mapping[str, float]
) -> Answer:
    """Return the branches' mean as a class map, with the branches that found a pixel's class as the remark.

    Args:
        said: the segments of each branch, by its name.
        legend: the competing classes.
        size: ``(height, width)`` of the tile.
        weights: how much each branch counts, by its name.
    """
    scores = {name: best_scores(found, size) for name, found in said.items()}
    means = mean_votes(tuple(scores.values()), size, [weights[name] for name in scores])
    labels = tuple(one.label for found in said.values() for one in found)
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
