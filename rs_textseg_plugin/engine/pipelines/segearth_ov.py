"""``segearth-ov``: CLIP looks at every patch of sliding windows, and a learned upsampler turns patches into pixels.

Source: SegEarth-OV (CVPR 2025).

What happens to a tile, in this order::

    observe   CLIP's dense features of every window, with the last block's attention changed;
              with an upsampler: the lengths of their upsampled form
    answer    words x features, minus a share of words x <CLS>, upsampled to pixels;
              mean where windows overlap, softmax over all words, maximum over the words of a class
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.engine.answers.answer import Answer
from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.clip.dense import (
    DenseFeatures,
    DenseSettings,
    answer_dense,
    least_probability,
    observe_dense,
)
from rs_textseg_plugin.engine.clip.dense_upsampled import DenseUpsampler, UpsampledFeatures
from rs_textseg_plugin.engine.clip.words import embed_legend
from rs_textseg_plugin.engine.compute.run_control import RunControl
from rs_textseg_plugin.engine.models.clip import ClipModel
from rs_textseg_plugin.engine.models.upsampler import Upsampler
from rs_textseg_plugin.engine.pipelines.inputs import PipelineInputs
from rs_textseg_plugin.engine.raster.reader import TileImage

_CLIP_BATCH = 32  # windows of 224 px

Observation = DenseFeatures | UpsampledFeatures


@dataclass(frozen=True)
class Settings:
    """Parameters of the table `contract.pipelines.segearth_ov`, by their names."""

    dense: DenseSettings
    upsampling: str
    logit_scale: float
    templates: str
    prob_threshold: float | None


class SegEarthOv:
    """The pipeline for one query.

    Args:
        clip: looks and reads.
        upsampler: that was trained for this CLIP; None: what CLIP says is upsampled bilinearly.
        settings: of the method.
        legend: the competing classes.

    Raises:
        ModelError: the upsampler was trained for features of another length.
    """

    def __init__(self, clip: ClipModel, upsampler: Upsampler | None, settings: Settings, legend: Legend) -> None:
        wanted = upsampler if settings.upsampling == "auto" else None
        if wanted:
            check_fit(clip, wanted)
        self._clip, self._upsampler = clip, wanted
        self._sharp = DenseUpsampler(clip, wanted) if wanted else None
        self._dense, self._logit_scale = settings.dense, settings.logit_scale
        self._words = embed_legend(clip, legend, settings.templates)
        self.prob_threshold = least_probability(settings.prob_threshold, legend.stands_alone)
        self.duplicate_iou = 1.0  # there are no masks

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the models."""
        self._clip.to(device, dtype)
        if self._upsampler:
            self._upsampler.to(device, dtype)

    def observe(self, image: TileImage, control: RunControl) -> Observation:
        """Run CLIP's image side over a tile, and measure its upsampled features where there is an upsampler.

        Raises:
            Cancelled: the user has given up.
        """
        batch = control.batch(_CLIP_BATCH)
        if self._sharp:
            return self._sharp.observe(image.rgb, self._dense, batch, control)
        return observe_dense(self._clip, image.rgb, self._dense, batch, control)

    def answer(self, observation: Observation, control: RunControl) -> Answer:
        """Say what each pixel is.

        Raises:
            Cancelled: the user has given up.
        """
        if self._sharp and isinstance(observation, UpsampledFeatures):
            class_map = self._sharp.answer(observation, self._words, self._logit_scale, control)
            return Answer((), class_map)
        if isinstance(observation, UpsampledFeatures):
            raise TypeError("The observation was made with an upsampler, and there is none to answer it with.")
        return Answer((), answer_dense(observation, self._words, self._logit_scale))


def load(inputs: PipelineInputs) -> SegEarthOv:
    """Load the method for one query, with the upsampler where the set has one."""
    return SegEarthOv(inputs.clip(), inputs.upsampler(), inputs.settings(Settings), inputs.legend)


def check_fit(clip: ClipModel, upsampler: Upsampler) -> None:
    """Check that an upsampler takes the features that a CLIP makes.

    Raises:
        ModelError: it was trained for features of another length.
    """
    if upsampler.channels != clip.channels:
        raise ModelError(
            f"The upsampler {upsampler.name} was trained for features of {upsampler.channels} channels, and the CLIP "
            f"{clip.name} makes {clip.channels}: take the upsampler that belongs to this CLIP, or set "
            "upsampling=bilinear."
        )
