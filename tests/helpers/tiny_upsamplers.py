"""Upsamplers with random weights in the published layouts, and what they compute, written down literally."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

KEYS = 32


def published_state(channels: int = 32, is_shared: bool = True, seed: int = 0) -> dict[str, Tensor]:
    """Names and shapes of SimFeatUp's checkpoint (one 11 x 11 module) or of FeatUp's JBU stack (four of 7 x 7)."""
    torch.manual_seed(seed)
    taps = 121 if is_shared else 49
    state = {}
    for name in ["up"] if is_shared else ["up1", "up2", "up3", "up4"]:
        state[f"{name}.range_temp"] = torch.randn(()) * 0.3
        state[f"{name}.sigma_spatial"] = 0.5 + torch.rand(())
        state |= convolution(f"{name}.range_proj.0", 3, KEYS)
        state |= convolution(f"{name}.range_proj.3", KEYS, KEYS)
        state |= convolution(f"{name}.fixup_proj.0", taps + 3, taps)
        state |= convolution(f"{name}.fixup_proj.3", taps, taps)
    return state | convolution("fixup_proj.1", channels, channels)


def convolution(name: str, inputs: int, outputs: int) -> dict[str, Tensor]:
    weight = torch.randn(outputs, inputs, 1, 1) * inputs**-0.5
    return {f"{name}.weight": weight, f"{name}.bias": torch.randn(outputs) * 0.2}


def literal_upsampled(state: dict[str, Tensor], features: Tensor, picture: Tensor) -> Tensor:
    """Return ``(C, 16h, 16w)`` float64 from the equations: everything unfolded, features before words.

    Args:
        state: as `published_state` gives it.
        features: ``(C, h, w)``.
        picture: ``(3, H, W)``.
    """
    state = {name: value.double() for name, value in state.items()}
    source, picture = features.double()[None], picture.double()[None]
    for number in range(1, 5):
        source = literal_step(state, "up" if "up.range_temp" in state else f"up{number}", source, picture)
    return (source + 0.1 * conv(state, "fixup_proj.1", source))[0]


def literal_step(state: dict[str, Tensor], name: str, source: Tensor, picture: Tensor) -> Tensor:
    height, width = 2 * source.shape[2], 2 * source.shape[3]
    guide = F.adaptive_avg_pool2d(picture, (height, width))
    taps = state[f"{name}.fixup_proj.3.weight"].shape[0]
    d = math.isqrt(taps)
    projected = conv(state, f"{name}.range_proj.3", F.gelu(conv(state, f"{name}.range_proj.0", guide)))
    unfolded = unfold(projected, d)
    temperature = state[f"{name}.range_temp"].exp().clamp(1e-4, 1e4)
    likeness = torch.softmax(temperature * (unfolded * projected[:, :, None]).sum(dim=1), dim=1)
    steps = [-1 + 2 * i / (d - 1) for i in range(d)]
    sigma = float(state[f"{name}.sigma_spatial"])
    nearness = torch.tensor([math.exp(-(x * x + y * y) / (2 * sigma**2)) for x in steps for y in steps])
    kernel = likeness * nearness.double()[None, :, None, None]
    kernel = kernel / kernel.sum(dim=1, keepdim=True).clamp(min=1e-7)
    hidden = F.gelu(conv(state, f"{name}.fixup_proj.0", torch.cat([kernel, guide], dim=1)))
    kernel = kernel + 0.1 * conv(state, f"{name}.fixup_proj.3", hidden)
    larger = F.interpolate(source, (height, width), mode="bicubic", align_corners=False)
    return (unfold(larger, d) * kernel[:, None]).sum(dim=2)


def conv(state: dict[str, Tensor], name: str, values: Tensor) -> Tensor:
    return F.conv2d(values, state[f"{name}.weight"], state[f"{name}.bias"])


def unfold(values: Tensor, d: int) -> Tensor:
    """Return ``(1, C, d * d, H, W)``: every pixel's neighbours, row by row, borders reflected."""
    padded = F.pad(values, [d // 2] * 4, mode="reflect")
    return F.unfold(padded, d).reshape(1, values.shape[1], d * d, *values.shape[2:])
