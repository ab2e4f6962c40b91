"""The parts that a training needs beside the upsampler, and what it charges for.

Source: FeatUp (ICLR 2024) and SimFeatUp of SegEarth-OV (CVPR 2025): an upsampled map of features is right if its
views, made small again, are what the CLIP says of the same views of the picture; and if the picture can be rebuilt
from it. None of these parts is kept.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from rs_textseg_plugin.engine.models.clip import MEAN, STD
from rs_textseg_plugin.engine.models.upsampler import FACTOR

IMAGE_WEIGHT = 0.1
PROJECTED = 30  # random directions that features are compared in

_BLUR_RADIUS, _BLUR_SIGMA = 2, 1.0
_DROPOUT = 0.2
_BLIND = 0.2  # share of the patches whose kernel does not see the features while training
_SMALLEST_SCALE = 1e-4


class AttentionDownsampler(nn.Module):
    """Makes one feature of the 16 x 16 upsampled ones of each patch: their mean, weighted by what they hold.

    The kernel is 16 whatever the CLIP's patch, since the upsampler makes 16 x 16 of any patch.

    ``weights = softmax over the 256 of (feature . v + v0) * w + b``, on features blurred by a Gaussian of 5 x 5. Views,
    blurring and means are linear, so features can be projected first: then v is one more direction beside a few
    others, and all channels are needed nowhere. The dropout before v leaves out whole channels here.

    Args:
        channels: of the features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attention = nn.Linear(channels, 1)
        self.w = nn.Parameter(0.01 + 0.01 * torch.randn(FACTOR, FACTOR))
        self.b = nn.Parameter(0.01 * torch.randn(FACTOR, FACTOR))

    def direction(self, count: int) -> Tensor:
        """Return v for as many pictures, ``(count, D, 1)``."""
        return F.dropout(self.attention.weight.expand(count, -1), _DROPOUT, self.training)[:, :, None]

    def forward(self, planes: Tensor) -> Tensor:
        """Return ``(B, P, gh, gw)`` for ``(B, P + 1, 16 gh, 16 gw)``: any projections, and that on v."""
        blurred = blur(planes)
        logits = _in_patches(blurred[:, -1:] + self.attention.bias)
        if self.training:
            logits = logits * (torch.rand(*logits.shape[:4], 1, 1, device=logits.device) > _BLIND)
        weights = (logits * self.w + self.b).flatten(-2).softmax(dim=-1).unflatten(-1, (FACTOR, FACTOR))
        return (_in_patches(blurred[:, :-1]) * weights).sum(dim=(-2, -1))


def _in_patches(values: Tensor) -> Tensor:
    """Return ``(B, C, gh, gw, 16, 16)`` of ``(B, C, 16 gh, 16 gw)``."""
    return values.unflatten(2, (-1, FACTOR)).unflatten(4, (-1, FACTOR)).transpose(3, 4)


def blur(values: Tensor) -> Tensor:
    """Return ``(B, C, H, W)`` blurred by a Gaussian of 5 x 5 pixels, sigma 1, borders reflected."""
    steps = torch.arange(-_BLUR_RADIUS, _BLUR_RADIUS + 1, device=values.device, dtype=values.dtype)
    kernel = torch.exp(-steps.square() / (2 * _BLUR_SIGMA**2))
    kernel, channels = kernel / kernel.sum(), values.shape[1]
    padded = F.pad(values, [_BLUR_RADIUS] * 4, mode="reflect")
    across = F.conv2d(padded, kernel.expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(across, kernel[:, None].expand(channels, 1, -1, 1), groups=channels)


class ScaleNet(nn.Module):
    """Says how far off each patch may be, as a standard deviation; 1 before the training.

    Args:
        channels: of the features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, 1, 1)
        nn.init.zeros_(self.convolution.weight)
        nn.init.zeros_(self.convolution.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        """Return ``(B, 1, gh, gw)`` for ``(B, D, gh, gw)``."""
        return self.convolution(features).exp().clamp(min=_SMALLEST_SCALE)


class Rebuilder(nn.Module):
    """Rebuilds the picture from every pixel's features: SimFeatUp's content retention.

    Args:
        channels: of the features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 1)
        self.norm = nn.LayerNorm(channels)
        self.last = nn.Conv2d(channels, 3, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return ``(B, 3, H, W)`` within -1..1 for ``(B, D, H, W)``."""
        hidden = self.norm(self.first(features).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return torch.tanh(self.last(F.gelu(hidden)))


def reconstruction_loss(made_small: Tensor, wanted: Tensor, scales: Tensor) -> Tensor:
    """Return the mean of ``mse / (2 s^2) + log s``.

    Args:
        made_small: ``(B, P, gh, gw)``, the upsampled features' view made small.
        wanted: ``(B, P, gh, gw)``, what the CLIP says of the view.
        scales: ``(B, 1, gh, gw)``, s.
    """
    return ((made_small - wanted).square() / (2 * scales.square()) + scales.log()).mean()


def projected(features: Tensor, directions: Tensor) -> Tensor:
    """Return ``(B, P, H, W)`` for features ``(B, D, H, W)`` and directions ``(B, D, P)``."""
    return (directions.mT @ features.flatten(2)).unflatten(2, features.shape[2:])


def random_directions(count: int, channels: int, device: torch.device) -> Tensor:
    """Return ``(count, channels, PROJECTED)`` vectors of unit length: distances in them are about right.

    Source: Johnson and Lindenstrauss, as used by FeatUp.
    """
    return F.normalize(torch.randn(count, channels, PROJECTED, device=device), dim=1)


def image_loss(rebuilt: Tensor, pictures: Tensor, mean: Tensor = MEAN, std: Tensor = STD) -> Tensor:
    """Return the mean square between rebuilt pictures within -1..1 and normalised ones, both ``(B, 3, H, W)``.

    Mean and deviation, ``(1, 3, 1, 1)``, are those that the pictures were normalised with.

    The publication leaves open in which range pictures are compared with the last tanh: here it is its own.
    """
    values = pictures * std.to(pictures.device) + mean.to(pictures.device)
    return F.mse_loss(rebuilt, 2 * values - 1)


def on_common_pixels(features: Tensor, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Return both, averaged over the pixels of the coarser one; with patches of 16 px they are the same already."""
    size = (min(features.shape[2], pictures.shape[2]), min(features.shape[3], pictures.shape[3]))
    return F.adaptive_avg_pool2d(features, size), F.adaptive_avg_pool2d(pictures, size)
