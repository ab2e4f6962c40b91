"""How well phrases are answered with masks.

With I and U the pixels of a sample's intersection and union:

* gIoU: mean of I / U over the samples; 1 where neither the truth nor the answer has a pixel (LISA, EarthReason);
* cIoU: sum of I over sum of U; ruled by large things;
* P@0.5: share of the samples with a target whose I / U is above 0.5 (RRSIS-D);
* N-acc: share of the samples without a target that were left empty;
* T-acc: share of the samples with a target that were not left empty.

Pixels are those of the picture as the model is shown it, which for larger pictures is coarser than their own.
Some papers print cIoU under the name gIoU: see that you compare the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from rs_textseg_plugin.engine.compute.device import Budget
from rs_textseg_plugin.engine.compute.run_control import RunControl
from rs_textseg_plugin.engine.models.sam import SamModel
from rs_textseg_plugin.engine.vlm.drawing import Policy, draw_instances
from rs_textseg_plugin.engine.vlm.instance import Instance
from rs_textseg_plugin.engine.vlm.model import VisionModel
from rs_textseg_plugin.engine.vlm.parsing.answer import read_answer
from rs_textseg_plugin.engine.vlm.prompt import ClickPolicy, ask_for
from tuning.examples import Example, Mask, Shown, coarser

_IOU = 0.5
_CONTROL = RunControl(Budget(torch.device("cpu")))  # nobody stops an evaluation but by ending it


@dataclass(frozen=True)
class Sample:
    """One answer against the truth.

    Attributes:
        intersection_px, union_px: of the answer and the truth.
        has_target: whether there is something to be found.
        has_answer: whether something was drawn.
        is_readable: whether the model's reply was an answer at all.
    """

    intersection_px: int
    union_px: int
    has_target: bool
    has_answer: bool
    is_readable: bool = True

    @property
    def iou(self) -> float:
        """Intersection over union; 1 where both are empty."""
        return self.intersection_px / self.union_px if self.union_px else 1.0


@dataclass(frozen=True)
class Scores:
    """The means, 0..1; NaN where no sample counts."""

    g_iou: float
    c_iou: float
    p_50: float
    n_acc: float
    t_acc: float
    readable: float
    samples: int

    def __str__(self) -> str:
        return (
            f"gIoU {self.g_iou:.3f}, cIoU {self.c_iou:.3f}, P@0.5 {self.p_50:.3f}, empty targets (N-acc) "
            f"{self.n_acc:.3f}, T-acc {self.t_acc:.3f}, readable answers {self.readable:.3f}, {self.samples} samples"
        )


def compare(target: Mask, answer: Mask, is_readable: bool = True) -> Sample:
    """Return how an answer ``(H, W)`` bool fits a target of the same size."""
    return Sample(
        int(np.count_nonzero(target & answer)),
        int(np.count_nonzero(target | answer)),
        bool(target.any()),
        bool(answer.any()),
        is_readable,
    )


def summarise(samples: Sequence[Sample]) -> Scores:
    """Return the scores of all samples."""
    with_target = [sample for sample in samples if sample.has_target]
    without = [sample for sample in samples if not sample.has_target]
    return Scores(
        g_iou=_share([sample.iou for sample in samples]),
        c_iou=_ratio(sum(one.intersection_px for one in samples), sum(one.union_px for one in samples)),
        p_50=_share([sample.iou > _IOU for sample in with_target]),
        n_acc=_share([not sample.has_answer for sample in without]),
        t_acc=_share([sample.has_answer for sample in with_target]),
        readable=_share([sample.is_readable for sample in samples]),
        samples=len(samples),
    )


def _share(values: Sequence[float]) -> float:
    return _ratio(float(sum(values)), len(values))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


@dataclass(frozen=True)
class Examiner:
    """Asks a model and has SAM draw, as the product does.

    Attributes:
        model: is asked.
        sam: draws.
        clicks: what the model is asked for.
        prompts: what of it SAM is given.
        longest_px: long side of a picture as the model is shown it.
    """

    model: VisionModel
    sam: SamModel
    clicks: ClickPolicy
    prompts: Policy
    longest_px: int

    def examine(self, examples: Sequence[Example]) -> Scores:
        """Return the scores over the examples.

        Raises:
            SceneError: the picture or the mask of an example cannot be read.
        """
        shown = tqdm(examples, desc="evaluation", unit=" questions", mininterval=5)
        return summarise([self._sample(example.phrase, coarser(example.read(), self.longest_px)) for example in shown])

    def _sample(self, phrase: str, shown: Shown) -> Sample:
        instances, is_readable = self._ask(phrase, shown)
        drawn = np.zeros(shown.rgb.shape[:2], np.bool_)
        for mask in draw_instances(instances, shown.rgb, self.sam, self.prompts, _CONTROL):
            if mask is not None:
                drawn[mask.window.slices] |= mask.mask.unpack()
        return compare(shown.target, drawn, is_readable)

    def _ask(self, phrase: str, shown: Shown) -> tuple[Sequence[Instance], bool]:
        height, width = shown.rgb.shape[:2]
        convention = self.model.convention
        asked = ask_for(phrase, self.model.shown_size(width, height), convention, self.clicks)
        reply = self.model.ask(shown.rgb, asked, _CONTROL)
        reading = read_answer(reply.text, reply.shown_px, (width, height), convention)
        return reading.instances, reading.is_answer
