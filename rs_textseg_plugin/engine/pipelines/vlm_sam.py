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

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.contract.pipelines.vlm_sam import VLM_FOLDER
from rs_textseg_plugin.engine.answers.answer import Answer, Segment
from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.clip.object_picture import object_picture
from rs_textseg_plugin.engine.compute.run_control import RunControl
from rs_textseg_plugin.engine.models.clip import ClipModel
from rs_textseg_plugin.engine.models.sam import SamModel
from rs_textseg_plugin.engine.pipelines.inputs import PipelineInputs
from rs_textseg_plugin.engine.raster.reader import TileImage
from rs_textseg_plugin.engine.sam.proposals import Proposal
from rs_textseg_plugin.engine.vlm.clicks_file import read_clicks
from rs_textseg_plugin.engine.vlm.conversation import Conversation
from rs_textseg_plugin.engine.vlm.drawing import Policy, draw_instances
from rs_textseg_plugin.engine.vlm.endpoint.client import Endpoint
from rs_textseg_plugin.engine.vlm.instance import Instance
from rs_textseg_plugin.engine.vlm.model import Convention, VisionModel
from rs_textseg_plugin.engine.vlm.prompt import ClickPolicy
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


@dataclass(frozen=True)
class Settings:
    """Parameters of the table `contract.pipelines.vlm_sam`, by their names."""

    base_url: str
    model: str
    vlm: str
    adapter: str
    convention: str
    max_tokens: int
    timeout_s: float
    allow_plain_http: bool
    tries: int
    prompts: str
    inside_points: int
    outside_points: int
    most_objects: int
    multimask: bool
    clicks: str
    self_test: str
    verify: bool
    verify_threshold: float
    templates: str
    duplicates: float


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
        """Return how probable the phrase is, 0..1, for what a mask shows of a picture ``(H, W, 3)`` uint8."""
        crop, inside = rgb[mask.window.slices], mask.mask.unpack()
        picture = object_picture(crop, inside, self._clip.picture_px, self._clip.mean_colour, shows_around=False)
        logits = _CLIP_SCALE * (self._words @ self._clip.embed_pictures(picture[None]).T)
        return float(self._legend.class_probabilities(logits)[_PHRASE, 0])

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move CLIP."""
        self._clip.to(device, dtype)


class VlmSam:
    """The pipeline for one question.

    Args:
        sam: draws.
        conversation: finds; None: `clicks` are drawn and no model is asked.
        clicks: what was found before, on the working grid.
        verifier: looks once more; None: nobody does.
        settings: of the method.
        legend: the phrase is its only class.
    """

    prob_threshold = 0.0  # there are no pixels but those of masks

    def __init__(
        self,
        sam: SamModel,
        conversation: Conversation | None,
        clicks: Sequence[Instance],
        verifier: Verifier | None,
        settings: Settings,
        legend: Legend,
    ) -> None:
        self._sam, self._conversation, self._clicks, self._verifier, self._legend = (
            sam,
            conversation,
            clicks,
            verifier,
            legend,
        )
        prompts = settings.prompts
        self._policy = Policy(prompts != "points", prompts != "box", settings.multimask)
        self.duplicate_iou = settings.duplicates
        self._by_view: dict[Window, list[Instance]] = {}
        self._dropped: dict[Window, int] = {}

    @property
    def instances(self) -> list[Instance]:
        """What was found in all views so far, on the working grid."""
        return [instance for found in self._by_view.values() for instance in found]

    @property
    def answered_by(self) -> dict[str, str]:
        """The model that answered, what its numbers were taken for, and who says so; empty: a file was drawn."""
        return self._conversation.record if self._conversation else {}

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the models."""
        self._sam.to(device, dtype)
        if self._conversation:
            self._conversation.to(device, dtype)
        if self._verifier:
            self._verifier.to(device, dtype)

    def announce(self, views: Sequence[Window]) -> list[str]:
        """Return notes before the first view: the model, the number of questions, and their cost."""
        return (
            self._conversation.announce(views)
            if self._conversation
            else [f"{len(self._clicks)} objects of a file are drawn."]
        )

    def conclude(self) -> list[str]:
        """Return notes after the last view: how many answers could be used.

        Raises:
            EngineError: no view had an answer that could be used.
        """
        dropped = sum(self._dropped.values())
        about_masks = [f"CLIP dropped {dropped} of the masks (verify=true)."] if dropped else []
        return [*(self._conversation.conclude() if self._conversation else []), *about_masks]

    def observe(self, image: TileImage, control: RunControl) -> Observation:
        """Keep the picture."""
        return Observation(image.rgb, image.valid, image.window)

    def answer(self, observation: Observation, control: RunControl) -> Answer:
        """Ask about a view, and draw what is found.

        Raises:
            Cancelled: the user has given up.
            EngineError: the model cannot be asked.
        """
        instances = self._found(observation, control)
        masks = draw_instances(instances, observation.rgb, self._sam, self._policy, control)
        rated = [
            (instance, mask) for instance, mask in zip(instances, masks) if mask and _has_data(mask, observation.valid)
        ]
        segments = [self._segment(instance, mask, observation.rgb) for instance, mask in rated]
        kept = [segment for segment in segments if segment is not None]
        self._dropped[observation.window] = len(segments) - len(kept)
        return Answer(tuple(without_alike(kept, self.duplicate_iou)), None)

    def _found(self, observation: Observation, control: RunControl) -> list[Instance]:
        """Return the instances in a view, in its own pixels."""
        if self._conversation is None:
            found = inside_picture(self._clicks, observation.window)
        else:
            found = self._conversation.ask(observation.rgb, observation.window, control)
        self._by_view[observation.window] = [
            instance.moved(observation.window.col, observation.window.row) for instance in found
        ]
        return found

    def _segment(self, instance: Instance, mask: Proposal, rgb: NDArray[np.uint8]) -> Segment | None:
        """Give a mask its score; None: CLIP does not see in it what was asked for."""
        score = min(max(mask.predicted_iou, 0.0), 1.0) * (1.0 if instance.confidence is None else instance.confidence)
        if self._verifier:
            probability = self._verifier.probability(rgb, mask)
            if probability < self._verifier.threshold:
                return None
            score *= probability
        scores = np.zeros(self._legend.size, np.float32)
        scores[_PHRASE] = score
        return Segment(mask.window, mask.mask, _PHRASE, scores, instance.words)


def without_alike(segments: Sequence[Segment], most: float) -> list[Segment]:
    """Return segments, surest first, without those whose overlap (IoU) with a surer one is above `most`."""
    kept: list[Segment] = []
    for segment in sorted(segments, key=lambda rival: -float(rival.scores[_PHRASE])):
        if all(_iou(segment, other) <= most for other in kept):
            kept.append(segment)
    return kept


def _iou(first: Segment, second: Segment) -> float:
    common = first.window.intersection(second.window)
    if common.is_empty:
        return 0.0
    parts = [segment.mask.unpack()[common.relative_to(segment.window).slices] for segment in (first, second)]
    both = int(np.count_nonzero(parts[0] & parts[1]))
    return both / (first.mask.area_px + second.mask.area_px - both)


def _has_data(mask: Proposal, valid: NDArray[np.bool_]) -> bool:
    return bool((mask.mask.unpack() & valid[mask.window.slices]).any())


def load(inputs: PipelineInputs) -> VlmSam:
    """Load the method for one question: with clicks of a file, an endpoint or a model on this machine.

    Raises:
        RecipeError: nothing says what to ask.
    """
    settings, legend = inputs.settings(Settings), inputs.legend
    clicks_file = settings.clicks.strip()
    clicks = read_clicks(Path(clicks_file), inputs.context.grid) if clicks_file else []
    conversation = None
    if not clicks_file:
        policy = ClickPolicy(settings.inside_points, settings.outside_points, settings.most_objects)
        tests_itself = None if settings.self_test == "auto" else settings.self_test == "true"
        conversation = Conversation(_vision_model(inputs, settings), inputs.context.phrase, policy, tests_itself)
    verifier = None
    if settings.verify:
        verifier = Verifier(inputs.clip(), legend, settings.templates, settings.verify_threshold)
    return VlmSam(inputs.sam(), conversation, clicks, verifier, settings, legend)


def _vision_model(inputs: PipelineInputs, settings: Settings) -> VisionModel:
    convention = None if settings.convention == "auto" else Convention(settings.convention)
    if settings.base_url:
        return Endpoint(
            settings.base_url,
            settings.model,
            inputs.context.api_key,
            timeout_s=settings.timeout_s,
            tries=settings.tries,
            convention=convention,
            max_tokens=settings.max_tokens,
            allow_plain_http=settings.allow_plain_http,
        )
    in_set = inputs.models.folder / VLM_FOLDER
    if settings.vlm or in_set.is_dir():
        folder = Path(settings.vlm or in_set)
        model = inputs.vlm(folder, Path(settings.adapter) if settings.adapter else None)
        model.configure(settings.max_tokens, convention)
        return model
    raise RecipeError(
        "The pipeline vlm-sam needs a vision-language model: name the folder of one (--param vlm=FOLDER), a server and "
        "a model on it (--param base_url=URL model=NAME), or a file with clicks (--param clicks=FILE)."
    )
