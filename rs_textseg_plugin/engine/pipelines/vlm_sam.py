"""``vlm-sam``: a vision-language model answers a question with boxes and points, and SAM draws what they mean.

Source: Sosa et al. 2026, generative branch.

What happens to a view (a tile, or the whole extent as one picture), in this order::

    observe   nothing: a model that reads sees picture and words together
    answer    picture + question -> model -> its words -> instances with boxes and points (or those of a file)
              boxes and points -> SAM -> one mask each; of two alike the surer one stays
              if wanted, CLIP looks at each mask once more and may drop it

The score of an object is SAM's own rating of its mask times the model's confidence, where it gives one, times CLIP's
probability of the phrase, where it was asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.contract.recipe import ParameterValue
from rs_textseg_plugin.engine.answers.answer import Answer, Segment
from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.clip.object_picture import CLIP_MEAN_COLOUR, object_picture
from rs_textseg_plugin.engine.compute.device import Budget
from rs_textseg_plugin.engine.models.clip import ClipModel
from rs_textseg_plugin.engine.models.sam import SamModel
from rs_textseg_plugin.engine.raster.reader import TileImage
from rs_textseg_plugin.engine.sam.proposals import Proposal
from rs_textseg_plugin.engine.vlm.conversation import Asking
from rs_textseg_plugin.engine.vlm.drawing import Policy, draw_instances
from rs_textseg_plugin.engine.vlm.instance import Instance
from rs_textseg_plugin.engine.vlm.sam_window import inside_picture

_PHRASE = 0  # index of the only class
_CLIP_SCALE = 100.0


@dataclass(frozen=True)
class Observation:
    """What is kept of a view before any text: the picture.

    Attributes:
        rgb: ``(H, W, 3)`` uint8.
        valid: ``(H, W)`` bool, pixels that hold data.
        window: where it lies on the working grid.
    """

    rgb: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    window: Window

    @property
    def nbytes(self) -> int:
        """Memory that keeping this costs, in bytes."""
        return self.rgb.nbytes + self.valid.nbytes


class Verifier:
    """CLIP's second look at masks.

    Args:
        clip: looks and reads.
        legend: the phrase, and the words that it has to win against.
        templates: sentences that words are put into.
        threshold: masks in which the phrase is less probable are dropped.
    """

    def __init__(self, clip: ClipModel, legend: Legend, templates: str, threshold: float) -> None:
        self._clip, self._legend, self.threshold = clip, legend, threshold
        self._words = clip.embed_words(legend.words, templates)

    def probability(self, rgb: NDArray[np.uint8], mask: Proposal) -> float:
        """Return how probable the phrase is for what a mask shows."""
        crop, inside = rgb[mask.window.slices], mask.mask.unpack()
        picture = object_picture(crop, inside, self._clip.picture_px, CLIP_MEAN_COLOUR, shows_around=False)
        logits = _CLIP_SCALE * (self._words @ self._clip.embed_pictures(picture[None]).T)
        return float(self._legend.class_probabilities(logits)[_PHRASE, 0])

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move CLIP."""
        self._clip.to(device, dtype)


class VlmSam:
    """The pipeline for one question.

    Args:
        sam: draws.
        asking: finds; None: `clicks` are drawn and no model is asked.
        clicks: what was found before, on the working grid.
        verifier: looks once more; None: nobody does.
        parameters: all of the recipe's, checked.
        legend: the phrase is its only class.
    """

    prob_threshold = 0.0  # there are no pixels but those of masks

    def __init__(
        self,
        sam: SamModel,
        asking: Asking | None,
        clicks: Sequence[Instance],
        verifier: Verifier | None,
        parameters: Mapping[str, ParameterValue],
        legend: Legend,
    ) -> None:
        p: Mapping[str, Any] = parameters
        self._sam, self._asking, self._clicks, self._verifier, self._legend = sam, asking, clicks, verifier, legend
        wanted = p["prompts"]
        self._policy = Policy(wanted != "points", wanted != "box", p["multimask"])
        self.duplicate_iou: float = p["duplicates"]
        self._by_view: dict[Window, list[Instance]] = {}
        self._dropped: dict[Window, int] = {}

    @property
    def answered(self) -> list[Instance]:
        """What was found in all views so far, on the working grid."""
        return [one for found in self._by_view.values() for one in found]

    @staticmethod
    def observation_key(parameters: Mapping[str, ParameterValue]) -> tuple[ParameterValue, ...]:
        """Return the parameters that an observation depends on; it can be kept while they stay the same."""
        return ("vlm-sam", parameters["tile_px"], parameters["overlap_px"])

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the models."""
        self._sam.to(device, dtype)
        if self._asking:
            self._asking.to(device, dtype)
        if self._verifier:
            self._verifier.to(device, dtype)

    def before(self, views: Sequence[Window]) -> list[str]:
        """Return what to say before the first view: who is asked, how often, and what it costs."""
        return self._asking.before(views) if self._asking else [f"{len(self._clicks)} objects of a file are drawn."]

    def after(self) -> list[str]:
        """Return what to say after the last view.

        Raises:
            EngineError: no view had an answer that could be used.
        """
        dropped = sum(self._dropped.values())
        about_masks = [f"CLIP dropped {dropped} of the masks (verify=true)."] if dropped else []
        return [*(self._asking.after() if self._asking else []), *about_masks]

    def observe(self, image: TileImage, budget: Budget, should_stop: Callable[[], bool]) -> Observation:
        """Keep the picture."""
        return Observation(image.rgb, image.valid, image.window)

    def answer(self, observation: Observation, budget: Budget, should_stop: Callable[[], bool]) -> Answer:
        """Ask about a view, and draw what is found.

        Raises:
            Cancelled: `should_stop` said so.
            EngineError: the model cannot be asked.
        """
        instances = self._found(observation, budget, should_stop)
        masks = draw_instances(instances, observation.rgb, self._sam, self._policy, should_stop)
        rated = [(one, mask) for one, mask in zip(instances, masks) if mask and _has_data(mask, observation.valid)]
        segments = [self._segment(one, mask, observation.rgb) for one, mask in rated]
        kept = [segment for segment in segments if segment is not None]
        self._dropped[observation.window] = len(segments) - len(kept)
        return Answer(tuple(without_alike(kept, self.duplicate_iou)), None)

    def _found(self, observation: Observation, budget: Budget, should_stop: Callable[[], bool]) -> list[Instance]:
        """Return the instances in a view, in its own pixels."""
        if self._asking is None:
            found = inside_picture(self._clicks, observation.window)
        else:
            found = self._asking.ask(observation.rgb, observation.window, budget.notes, should_stop)
        self._by_view[observation.window] = [one.moved(observation.window.col, observation.window.row) for one in found]
        return found

    def _segment(self, one: Instance, mask: Proposal, rgb: NDArray[np.uint8]) -> Segment | None:
        """Give a mask its score; None: CLIP does not see in it what was asked for."""
        score = min(max(mask.predicted_iou, 0.0), 1.0) * (1.0 if one.confidence is None else one.confidence)
        if self._verifier:
            probability = self._verifier.probability(rgb, mask)
            if probability < self._verifier.threshold:
                return None
            score *= probability
        scores = np.zeros(self._legend.size, np.float32)
        scores[_PHRASE] = score
        return Segment(mask.window, mask.mask, _PHRASE, scores, one.words)


def without_alike(segments: Sequence[Segment], most: float) -> list[Segment]:
    """Return segments, surest first, without those whose overlap (IoU) with a surer one is above `most`."""
    kept: list[Segment] = []
    for segment in sorted(segments, key=lambda one: -float(one.scores[_PHRASE])):
        if all(_iou(segment, other) <= most for other in kept):
            kept.append(segment)
    return kept


def _iou(first: Segment, second: Segment) -> float:
    common = first.window.intersection(second.window)
    if common.is_empty:
        return 0.0
    parts = [one.mask.unpack()[common.relative_to(one.window).slices] for one in (first, second)]
    both = int(np.count_nonzero(parts[0] & parts[1]))
    return both / (first.mask.area_px + second.mask.area_px - both)


def _has_data(mask: Proposal, valid: NDArray[np.bool_]) -> bool:
    return bool((mask.mask.unpack() & valid[mask.window.slices]).any())
