"""What an upsampler computes, in a form that gradients flow through.

The product's form (`engine.models.bilateral`) makes a few rows at a time in inference mode and writes in place. This
one does the same with the same modules, and keeps what the way back needs: the pixels' weights, and no unfolded
features. Dropout works here while the modules are in training mode; in evaluation mode both forms agree.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor
from torch.autograd.function import once_differentiable

from rs_textseg_plugin.engine.models.bilateral import Bilateral
from rs_textseg_plugin.engine.models.upsampler import UpsamplerNetwork

_BLOCK_PX = 16  # pixels whose neighbourhoods share one matrix product
_MIX_WEIGHT = _FIXUP_WEIGHT = 0.1
_NO_ZERO = 1e-7
_COLDEST, _HOTTEST = 1e-4, 1e4


def upsample(network: UpsamplerNetwork, features: Tensor, pictures: Tensor) -> Tensor:
    """Return upsampled features ``(B, D, 16 gh, 16 gw)`` float32.

    The last module mixes channels, and its dropout leaves out whole channels: both are done on the small features,
    with the same result as at the end, where the publication has them.

    Args:
        network: whose weights are learned.
        features: ``(B, D, gh, gw)`` float32, of any length.
        pictures: ``(B, 3, H, W)`` float32, what the features were made of, normalised.
    """
    dropout, mix = network.fixup_proj
    weight, bias = mix.get_parameter("weight"), mix.get_parameter("bias")
    mixed = features + _MIX_WEIGHT * F.conv2d(dropout(features), weight)
    upsampled = [_upsample_one(network, *pair) for pair in zip(mixed, pictures)]
    return torch.stack(upsampled) + _MIX_WEIGHT * bias[:, None, None]


def _upsample_one(network: UpsamplerNetwork, planes: Tensor, picture: Tensor) -> Tensor:
    for step in network.steps:
        planes = upsample_by_two(step, planes, picture)
    return planes


def upsample_by_two(step: Bilateral, source: Tensor, picture: Tensor) -> Tensor:
    """Return ``(C, 2h, 2w)`` for a source ``(C, h, w)`` and a picture ``(3, H, W)``, all float32.

    Equations: see `engine.models.bilateral`.
    """
    size = (source.shape[1] * 2, source.shape[2] * 2)
    guide = F.adaptive_avg_pool2d(picture, size)
    keys = step.range_proj(guide[None])[0].permute(1, 2, 0)
    weights = _weights(step, keys, guide.permute(1, 2, 0))
    larger = F.interpolate(source[None], size, mode="bicubic", align_corners=False)[0]
    return weighted_sums(larger.permute(1, 2, 0), weights, step.radius).permute(2, 0, 1)


def _weights(step: Bilateral, keys: Tensor, guide: Tensor) -> Tensor:
    """Return the weights ``(H, W, d * d)`` of every pixel's neighbours."""
    temperature = step.range_temp.exp().clamp(_COLDEST, _HOTTEST)
    weights = F.softmax(temperature * products(keys, step.radius), dim=-1) * _nearness(step)
    weights = weights / weights.sum(dim=-1, keepdim=True).clamp(min=_NO_ZERO)
    correction = step.fixup_proj(torch.cat([weights, guide], dim=-1).permute(2, 0, 1)[None])[0]
    return weights + _FIXUP_WEIGHT * correction.permute(1, 2, 0)


def _nearness(step: Bilateral) -> Tensor:
    places = torch.linspace(-1, 1, 2 * step.radius + 1, device=step.sigma_spatial.device)
    distance2 = places[:, None].square() + places.square()
    return torch.exp(-distance2.flatten() / (2 * step.sigma_spatial**2))


def products(values: Tensor, radius: int) -> Tensor:
    """Return the scalar products of every pixel with its neighbours, ``(H, W, d * d)``, for ``(H, W, C)``."""
    centres = _filled_up(values).unflatten(1, (-1, _BLOCK_PX))
    found: Tensor = _Products.apply(centres, _surroundings(values, radius), 2 * radius + 1)  # type: ignore[no-untyped-call]
    return found.flatten(1, 2)[:, : values.shape[1]].flatten(2)


def weighted_sums(values: Tensor, weights: Tensor, radius: int) -> Tensor:
    """Return the sums ``(H, W, C)`` of every pixel's neighbours, for ``(H, W, C)`` and ``(H, W, d * d)``."""
    diameter = 2 * radius + 1
    blocks = _filled_up(weights).unflatten(1, (-1, _BLOCK_PX)).unflatten(-1, (diameter, diameter))
    total: Tensor = _WeightedSums.apply(blocks, _surroundings(values, radius))  # type: ignore[no-untyped-call]
    return total.flatten(1, 2)[:, : values.shape[1]]


def _filled_up(values: Tensor) -> Tensor:
    """Return ``(H, W, C)`` with zeros up to whole blocks."""
    return F.pad(values, (0, 0, 0, -values.shape[1] % _BLOCK_PX))


def _surroundings(values: Tensor, radius: int) -> Tensor:
    """Return what each block and its margins hold, borders reflected: ``(H + 2r, blocks, block + 2r, C)``.

    The margins of a block are the first pixels of the next one; two blocks are as wide as any published window.
    """
    rows, columns = (_reflected(length, radius, values.device) for length in values.shape[:2])
    blocks = -(-values.shape[1] // _BLOCK_PX)
    padded = values[rows][:, columns]
    padded = F.pad(padded, (0, 0, 0, (blocks + 1) * _BLOCK_PX - padded.shape[1])).unflatten(1, (-1, _BLOCK_PX))
    return torch.cat([padded[:, :-1], padded[:, 1:, : 2 * radius]], dim=2)


def _reflected(length: int, margin: int, device: torch.device) -> Tensor:
    """Return the indices of an axis with reflected margins, which may be longer than the axis."""
    return torch.from_numpy(np.pad(np.arange(length), margin, mode="reflect")).to(device)


def _to_band(rows: Tensor) -> Tensor:
    """Return matrices ``(..., n, n + d - 1)`` that hold ``rows[i, k]`` at [i, i + k] and zeros elsewhere."""
    *outer, n, d = rows.shape
    return F.pad(rows, (0, n)).flatten(-2)[..., :-n].reshape(*outer, n, n + d - 1)


def _from_band(matrices: Tensor, d: int) -> Tensor:
    """Return the entries [i, i + k] of matrices ``(..., n, n + d - 1)``: ``(..., n, d)``."""
    n = matrices.shape[-2]
    return F.pad(matrices.flatten(-2), (0, n)).unflatten(-1, (n, n + d))[..., :d]


class _Products(torch.autograd.Function):
    """Scalar products of the pixels of each block with what surrounds them, one row of neighbours after the other."""

    @staticmethod
    def forward(ctx: Any, centres: Tensor, around: Tensor, diameter: int) -> Tensor:
        """Return ``(H, blocks, n, d, d)`` for ``(H, blocks, n, C)`` and surroundings of it."""
        ctx.save_for_backward(centres, around)
        height = len(centres)
        bands = [_from_band(centres @ around[dy : dy + height].mT, diameter) for dy in range(diameter)]
        return torch.stack(bands, dim=-2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        """Return the gradients of both."""
        centres, around = ctx.saved_tensors
        height, to_centres, to_around = len(centres), torch.zeros_like(centres), torch.zeros_like(around)
        for dy in range(grad.shape[-1]):
            matrix = _to_band(grad[..., dy, :])
            to_centres += matrix @ around[dy : dy + height]
            to_around[dy : dy + height] += matrix.mT @ centres
        return to_centres, to_around, None


class _WeightedSums(torch.autograd.Function):
    """Sums over the neighbours, one row of them after the other; see `_Products`."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, around: Tensor) -> Tensor:
        """Return ``(H, blocks, n, C)`` for weights ``(H, blocks, n, d, d)`` and surroundings."""
        ctx.save_for_backward(weights, around)
        height, total = len(weights), around.new_zeros((*weights.shape[:3], around.shape[-1]))
        for dy in range(weights.shape[-1]):
            total += _to_band(weights[..., dy, :]) @ around[dy : dy + height]
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of both."""
        weights, around = ctx.saved_tensors
        height, to_weights, to_around = len(weights), torch.empty_like(weights), torch.zeros_like(around)
        for dy in range(weights.shape[-1]):
            to_weights[..., dy, :] = _from_band(grad @ around[dy : dy + height].mT, weights.shape[-1])
            to_around[dy : dy + height] += _to_band(weights[..., dy, :]).mT @ grad
        return to_weights, to_around
