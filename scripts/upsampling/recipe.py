"""Trains an upsampler: the published recipe, and where this one differs.

Source: SegEarth-OV (CVPR 2025), its SimFeatUp, which follows FeatUp (ICLR 2024).

As published: random crops, continued by their reflection; a frozen CLIP; five views of each step's pictures, of which
the upsampled features are taken too; the attention downsampler; the squared error between both in 30 random
directions, weighted by a learned uncertainty; a tenth of the squared error of the rebuilt picture; NAdam with 1e-3;
gradients shortened to 1e-4 in the first ten steps; dropout in the upsampler's weights and before its mixing.

Different, on purpose:

* The CLIP's features are those that the product feeds (`features.Featurizer`), and pictures are normalised as for
  CLIP, since that is what guides the upsampling in the product.
* Weights start near those of bicubic upsampling: no corrections, a narrow neighbourhood, a picture that counts. With
  the published start (random corrections, neighbourhoods that reach over five patches at the first step) the spatial
  width alone needs about a thousand steps to get away, since no step changes it by much more than the learning
  rate. On a stand-in for a CLIP with features of known pixels, 0.17 of their variance was missed after 34 steps from
  here and 0.47 after 61 from there; bilinear upsampling missed 0.19.
* The learning rate falls along half a cosine over the time that is given, so that a short training ends well.
* Features are projected before views of them are taken and they are made small again, which is the same, since all of
  that is linear; only the dropout before the downsampler's attention leaves out whole channels.
* Kernel and grids follow the upsampler's fixed factor of 16: a patch of any size becomes 16 x 16 features, and these
  one patch again. With patches of 8 px they are twice as fine as the pixels; the picture is rebuilt on the coarser
  grid of the two.

Whether anything is learned is told by the same figures for plain bilinear upsampling: the log has both. ``error`` is
the share of the features' variance that is missed, on pictures and views that stay the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from rs_textseg_plugin.engine.models.upsampler import FACTOR, UpsamplerNetwork
from training.loop import Training
from upsampling.differentiable import upsample
from upsampling.features import Featurizer
from upsampling.jitter import Jitter
from upsampling.losses import (
    IMAGE_WEIGHT,
    AttentionDownsampler,
    Rebuilder,
    ScaleNet,
    image_loss,
    on_common_pixels,
    projected,
    random_directions,
    reconstruction_loss,
)
from upsampling.pictures import PictureSource

NAME = "upsampler"  # of the state and the log
NEAR_BICUBIC, PUBLISHED = "near-bicubic", "published"
RADII = {"simfeatup": 5, "jbu": 3}

_KEYS = 32
_NARROW, _SHARP = 0.15, 2.0  # the spatial width in shares of the radius; the logarithm of the temperature
_RATE = 1e-3
_VIEWS = 5
_GENTLE_STEPS, _GENTLE_LENGTH = 10, 1e-4
_NO_LIMIT = math.inf
_EVALUATE_EVERY = 50
_VALIDATION_BATCHES = 2
_VALIDATION_SEED = 2


class Parts(nn.Module):
    """Everything that is trained; only the upsampler is kept.

    Args:
        channels: of the CLIP's features.
        layout: ``simfeatup`` (one module for four steps) or ``jbu`` (FeatUp's four).
        start: `NEAR_BICUBIC` or `PUBLISHED`.
    """

    def __init__(self, channels: int, layout: str, start: str = NEAR_BICUBIC) -> None:
        super().__init__()
        self.upsampler = UpsamplerNetwork(channels, RADII[layout], _KEYS, is_shared=layout == "simfeatup")
        if start == NEAR_BICUBIC:
            start_near_bicubic(self.upsampler)
        self.downsampler = AttentionDownsampler(channels)
        self.scale = ScaleNet(channels)
        self.rebuilder = Rebuilder(channels)


@torch.no_grad()
def start_near_bicubic(network: UpsamplerNetwork) -> None:
    """Let an upsampler begin without corrections, with narrow neighbourhoods in which the picture counts."""
    for step in network.steps:
        step.sigma_spatial.fill_(_NARROW)
        step.range_temp.fill_(_SHARP)
        for parameter in step.fixup_proj[3].parameters():
            parameter.zero_()
    for parameter in network.fixup_proj.parameters():
        parameter.zero_()


@dataclass(frozen=True)
class Losses:
    """What one view costs: both losses, and the share of the features' variance that was missed."""

    rec: Tensor
    img: Tensor
    error: Tensor


class UpsamplerTraining:
    """The training of an upsampler.

    Args:
        source: of the pictures.
        featurizer: the frozen CLIP.
        layout: see `Parts`.
        folder: for state and log.
        minutes: to spend in all.
        size_px: side of the pictures, a multiple of the CLIP's patch.
        batch: pictures in each step.
        start: see `Parts`; of no account where a training goes on.
    """

    def __init__(
        self,
        source: PictureSource,
        featurizer: Featurizer,
        layout: str,
        folder: Path,
        minutes: float,
        size_px: int,
        batch: int,
        start: str = NEAR_BICUBIC,
    ) -> None:
        torch.manual_seed(0)
        self._source, self._featurizer = source, featurizer
        self.parts = Parts(featurizer.channels, layout, start).to(featurizer.device)
        self.training = Training(
            NAME, folder, self.parts, _RATE, minutes, make_optimizer=nadam, warm_up_steps=_GENTLE_STEPS
        )
        torch.manual_seed(1 + self.training.steps)
        self._rng = np.random.default_rng([7, self.training.steps])
        self._size_px, self._batch = size_px, batch
        self._validation = self._validation_pictures()

    def run(self) -> None:
        """Train until the time is spent.

        Raises:
            SceneError: a raster cannot be read.
        """
        running: list[tuple[float, float]] = []
        for step in self.training.run():
            running.append(self._step())
            self.training.follow_gradients(_GENTLE_LENGTH if step < _GENTLE_STEPS else _NO_LIMIT)
            if step % _EVALUATE_EVERY == _EVALUATE_EVERY - 1:
                self._report(running)
                running = []
        if running:
            self._report(running)

    def _step(self) -> tuple[float, float]:
        """Leave the gradients of one step; return the mean losses of its views.

        Every view goes its way back at once, down to the upsampled features, so that one view's are in memory.
        """
        self.training.optimizer.zero_grad(set_to_none=True)
        images = self._featurizer.normalised(self._source.cut(self._batch, self._rng))
        upsampled = upsample(self.parts.upsampler, self._featurizer.features(images), images)
        seen, sums = upsampled.detach().requires_grad_(), np.zeros(2)
        for _ in range(_VIEWS):
            jitter = Jitter.draw(len(images), self._size_px, self._rng)
            directions = random_directions(len(images), self._featurizer.channels, images.device)
            losses = self.losses(seen, images, jitter, directions)
            ((losses.rec + IMAGE_WEIGHT * losses.img) / _VIEWS).backward()
            sums += losses.rec.item(), losses.img.item()
        upsampled.backward(seen.grad)
        return float(sums[0] / _VIEWS), float(sums[1] / _VIEWS)

    def losses(self, upsampled: Tensor, images: Tensor, jitter: Jitter, directions: Tensor) -> Losses:
        """Return what a view of the pictures ``(B, 3, H, W)`` and of their upsampled features costs.

        Args:
            upsampled: ``(B, D, 16 gh, 16 gw)``.
            images: normalised.
            jitter: the view.
            directions: ``(B, D, P)`` in which features are compared.
        """
        wanted = self._featurizer.features(jitter.apply(images))
        scales, wanted = self.parts.scale(wanted), projected(wanted, directions)
        seen = torch.cat([directions, self.parts.downsampler.direction(len(images))], dim=2)
        made_small = self.parts.downsampler(jitter.apply(projected(upsampled, seen)))
        error = F.mse_loss(made_small, wanted) / wanted.var(dim=(0, 2, 3), correction=0).mean().clamp(min=1e-12)
        features, pictures = (jitter.apply(one) for one in on_common_pixels(upsampled, images))
        rebuilt = image_loss(self.parts.rebuilder(features), pictures, self._featurizer.mean, self._featurizer.std)
        return Losses(reconstruction_loss(made_small, wanted, scales), rebuilt, error)

    def _validation_pictures(self) -> list[tuple[Tensor, Jitter]]:
        """Return the same pictures and views each time; nothing is labelled, so they may overlap with others."""
        rng = np.random.default_rng(_VALIDATION_SEED)
        return [
            (
                self._featurizer.normalised(self._source.cut(self._batch, rng)),
                Jitter.draw(self._batch, self._size_px, rng),
            )
            for _ in range(_VALIDATION_BATCHES)
        ]

    def _report(self, running: list[tuple[float, float]]) -> None:
        rec, img = np.mean(running, axis=0).tolist()
        self.training.log(loss_rec=rec, loss_img=img, **self.validate())

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Return losses and error on the validation pictures, learned and with ``_bilinear`` behind the name."""
        self.parts.eval()
        sums: dict[str, float] = {}
        for images, jitter in self._validation:
            small = self._featurizer.features(images)
            all_channels = torch.eye(small.shape[1], device=small.device).expand(len(small), -1, -1)
            bilinear = F.interpolate(small, scale_factor=float(FACTOR), mode="bilinear", align_corners=False)
            for ending, upsampled in (("", upsample(self.parts.upsampler, small, images)), ("_bilinear", bilinear)):
                losses = self.losses(upsampled, images, jitter, all_channels)
                for name in ("rec", "img", "error"):
                    sums[name + ending] = sums.get(name + ending, 0.0) + float(getattr(losses, name))
        self.parts.train()
        return {name: round(value / len(self._validation), 5) for name, value in sums.items()}


def nadam(model: nn.Module, rate: float) -> torch.optim.Optimizer:
    """Return the published optimiser."""
    return torch.optim.NAdam(model.parameters(), lr=rate)
